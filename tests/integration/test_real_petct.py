"""Real FDG PET/CT of six patients: what is read equals the published figures."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedmq.imaging.volumes import load_volume

pytestmark = pytest.mark.real_data

# Inside the PET mask: SUVmax; volume over 41 % of SUVmax, ml; volume of the mask, ml.
EXPECTED = {
    "STS_002": (21.68, 18.8, 54.3),
    "STS_008": (6.50, 16.2, 27.9),
    "STS_019": (16.33, 12.1, 17.2),
    "STS_024": (19.28, 38.9, 76.9),
    "STS_025": (6.38, 18.8, 30.2),
    "STS_042": (6.92, 18.8, 34.8),
}


@pytest.fixture
def patients() -> Path:
    """Return the folder of the six PET/CT pairs."""
    folder = os.environ.get("FEDMQ_TEST_DATA")
    assert folder, "set FEDMQ_TEST_DATA to the folder that holds petct_sts, or deselect real_data"
    return Path(folder) / "petct_sts"


@pytest.mark.parametrize("patient", EXPECTED)
def test_uptake_and_volume_in_the_mask_equal_the_reference(patients: Path, patient: str) -> None:
    """SUVmax within 0.01, metabolic and mask volume within 0.1 ml."""
    pet = load_volume(patients / patient / "PET_image.nii.gz")
    inside = load_volume(patients / patient / "PET_mask.nii.gz").array > 0.5
    uptake = pet.array[inside]
    suv_max, metabolic_ml, mask_ml = EXPECTED[patient]
    assert uptake.max() == pytest.approx(suv_max, abs=0.01)
    assert (uptake >= 0.41 * uptake.max()).sum() * pet.voxel_ml == pytest.approx(
        metabolic_ml, abs=0.1
    )
    assert inside.sum() * pet.voxel_ml == pytest.approx(mask_ml, abs=0.1)


@pytest.mark.parametrize("patient", EXPECTED)
def test_pet_and_ct_stand_in_the_same_place_although_their_grids_differ(
    patients: Path, patient: str
) -> None:
    """Both are turned to RAS+, and the centres of their boxes lie within two centimetres."""
    centres = []
    for name in ("PET_image.nii.gz", "CT_image.nii.gz"):
        volume = load_volume(patients / patient / name)
        assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
        middle = (np.array(volume.array.shape) - 1) / 2
        centres.append((volume.affine @ [*middle, 1])[:3])
    assert np.linalg.norm(centres[0] - centres[1]) < 20
