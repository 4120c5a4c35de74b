"""Real FDG PET/CT of six patients: what is read equals the published figures."""

import os
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedmq.imaging.checks import check_volumes, read_volumes
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.features import measure
from fedmq.imaging.preprocessing import SUV_MAX, Frame, prepare_case
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
def test_features_of_a_real_patient_equal_the_reference(patients: Path, patient: str) -> None:
    """SUVmax within 0.01, volumes within 0.1 ml; one tumour, and a peak below the maximum."""
    (case,) = [case for case in find_cases(patients) if case.case_id == patient]
    found = measure(case.volume("PET"), case.volume("MASK"))
    suv_max, metabolic_ml, mask_ml = EXPECTED[patient]
    assert found.suv_max == pytest.approx(suv_max, abs=0.01)
    assert found.mtv41_ml == pytest.approx(metabolic_ml, abs=0.1)
    assert found.mask_ml == pytest.approx(mask_ml, abs=0.1)
    assert (found.num_lesions, found.dmax_mm) == (1, 0.0)
    assert found.suv_peak is not None
    assert found.suv_peak_at_max is not None
    assert found.suv_peak_at_max <= found.suv_peak < suv_max


def test_nothing_is_found_against_the_real_patients(patients: Path) -> None:
    """Checks of body, gaps, tissue and masks hold nothing against what is sound."""
    for case in find_cases(patients):
        assert check_volumes(case, *read_volumes(case)) == ()


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


@pytest.mark.parametrize("patient", EXPECTED)
def test_a_prepared_patient_keeps_its_pet_and_has_its_ct_on_it(
    patients: Path, patient: str
) -> None:
    """Uptake and mask are the reference's; the CT there is that of the nearest voxel by hand.

    Near to it, not equal: it is a mean over the PET's wider voxels. At another spacing the mask's
    volume is kept within an eighth.
    """
    (case,) = [case for case in find_cases(patients) if case.case_id == patient]
    pet = case.volume("PET")
    prepared = prepare_case(case, Frame(), with_mask=True)
    np.testing.assert_array_equal(prepared.affine, pet.affine)
    assert prepared.mask is not None
    assert prepared.mask.shape == prepared.images.shape[1:] == pet.array.shape
    suv_max, _, mask_ml = EXPECTED[patient]
    highest = float(prepared.images[0][prepared.mask].max()) * SUV_MAX
    assert highest == pytest.approx(min(suv_max, SUV_MAX), abs=0.01)
    assert prepared.mask.sum() * pet.voxel_ml == pytest.approx(mask_ml, abs=0.1)
    ct = case.volume("CT")
    voxels = np.argwhere(np.ones(pet.array.shape, np.bool_))
    places = voxels @ pet.affine[:3, :3].T + pet.affine[:3, 3]
    nearest = np.rint((places - ct.affine[:3, 3]) @ np.linalg.inv(ct.affine[:3, :3]).T).astype(int)
    inside = ((nearest >= 0) & (nearest < ct.array.shape)).all(axis=1)
    by_hand = np.clip((ct.array[tuple(nearest[inside].T)] + 160) / 400, 0, 1)
    assert inside.mean() > 0.8
    assert np.corrcoef(by_hand, prepared.images[1].ravel()[inside])[0, 1] > 0.8
    spaced = prepare_case(case, Frame(spacing_mm=(4.0, 4.0, 4.0)), with_mask=True)
    assert spaced.mask is not None
    assert spaced.mask.sum() * 0.064 == pytest.approx(mask_ml, rel=0.125)


@pytest.mark.parametrize("patient", EXPECTED)
def test_a_patient_without_pet_is_boxed_around_the_same_middle(
    patients: Path, patient: str
) -> None:
    """Found on the CT, past its table, within one and a half of the network's voxels."""
    (case,) = [case for case in find_cases(patients) if case.case_id == patient]
    frame = Frame(spacing_mm=8.0, shape=(48, 48, 32))
    whole = prepare_case(case, frame)
    alone = prepare_case(replace(case, volumes={"CT": case.volumes["CT"]}), frame)
    assert alone.presence == (False, True)
    assert not alone.images[0].any()
    middles = [(one.affine @ [24, 24, 16, 1])[:3] for one in (whole, alone)]
    assert np.abs(middles[0] - middles[1]).max() <= 12.0
