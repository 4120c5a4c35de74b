"""The real DICOM series of a patient: what is imported equals what others made of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.datasets import find_cases
from fedmq.imaging.volumes import load_volume
from tests.unit.imaging.dicom.archive import Site

pytestmark = pytest.mark.real_data


@pytest.fixture
def patient() -> Path:
    """Return the folder of the patient whose series are there."""
    folder = os.environ.get("FEDMQ_TEST_DATA")
    assert folder, "set FEDMQ_TEST_DATA to the folder that holds petct_sts, or deselect real_data"
    return Path(folder) / "petct_sts" / "STS_008"


def test_the_import_equals_the_reference_voxel_by_voxel(patient: Path, tmp_path: Path) -> None:
    """SUV within 1e-4 relative, HU exactly, the grids within a micrometre; 65 min after injection.

    The PET is in SUV already (GML, ADMIN): dividing by the dose again would be wrong.
    """
    site = Site(tmp_path)
    site.archive.symlink_to(patient / "dicom")
    outcome = site.only()
    assert outcome.state == "written"
    assert outcome.taken["PET"]["suv_by"] == "gml"
    assert outcome.taken["PET"]["delay_min"] == pytest.approx(65.6)
    (case,) = find_cases(site.cases)
    for modality, tolerance in (("PET", 1e-4), ("CT", 0.0)):
        ours, reference = case.volume(modality), load_volume(patient / f"{modality}_image.nii.gz")
        assert ours.array.shape == reference.array.shape
        np.testing.assert_allclose(ours.array, reference.array, rtol=tolerance, atol=1e-6)
        np.testing.assert_allclose(ours.affine, reference.affine, atol=1e-3)
    told = site.sidecar(outcome.case_id)
    assert told["InjectedRadioactivity"] == pytest.approx(386.819)
    assert told["InjectionStart"] == told["ImageDecayCorrectionTime"] == -3937.0
    text = "".join(path.read_text() for path in site.cases.rglob("*.json"))
    assert "STS_008" not in text
    for one in (outcome.case_id, outcome.token, outcome.key):
        text = text.replace(one, "")
    assert "2001" not in text
