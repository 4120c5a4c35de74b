"""Real patients in every layout that has a name: each finds the same volumes, whole and fit."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.imaging.baseline import BaselineRule
from fedmq.imaging.contents import MapChoices
from fedmq.imaging.layouts.data_map import Layout
from fedmq.node.inspection import Inspection
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome

pytestmark = pytest.mark.real_data

FILES = {"PET": "PET_image.nii.gz", "CT": "CT_image.nii.gz", "MASK": "PET_mask.nii.gz"}
PATIENTS = ("STS_002", "STS_019")
NAMES = {
    Layout.BIDS: {
        "PET": "sub-{case}/ses-01/pet/sub-{case}_ses-01_pet.nii.gz",
        "CT": "sub-{case}/ses-01/anat/sub-{case}_ses-01_ct.nii.gz",
        "MASK": "derivatives/masks/sub-{case}/ses-01/pet/sub-{case}_ses-01_mask.nii.gz",
    },
    Layout.STUDIES: {
        "PET": "{case}/01-01-2000/SUV.nii.gz",
        "CT": "{case}/01-01-2000/CT.nii.gz",
        "MASK": "{case}/01-01-2000/SEG.nii.gz",
    },
    Layout.HECKTOR: {
        "PET": "{case}__PT.nii.gz",
        "CT": "{case}__CT.nii.gz",
        "MASK": "{case}__GTVp.nii.gz",
    },
    Layout.MSD: {
        "PET": "imagesTr/{case}_0001.nii.gz",
        "CT": "imagesTr/{case}_0000.nii.gz",
        "MASK": "labelsTr/{case}.nii.gz",
    },
    Layout.FOLDERS: {word: "{case}_scan-1/" + word + ".nii.gz" for word in FILES},
}


@pytest.fixture
def data() -> Path:
    """Return the folder of real data."""
    folder = os.environ.get("FEDMQ_TEST_DATA")
    assert folder, "set FEDMQ_TEST_DATA to the folder that holds petct_sts, or deselect real_data"
    return Path(folder)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the records of a node."""
    made = open_records(LocalHome(tmp_path / "home"))
    yield made
    made.close()


def add(records: Records, folder: Path) -> Inspection:
    """Return what is found when a folder is added."""
    choices = MapChoices(baseline=BaselineRule())
    return records.datasets.add("petct", folder, choices=choices, now=0.0)


@pytest.mark.parametrize("layout", NAMES)
def test_the_same_patients_are_found_in_every_layout(
    data: Path, records: Records, tmp_path: Path, layout: Layout
) -> None:
    """With the same bytes, spacings and row, and without a finding."""
    folder = tmp_path / "cases"
    folder.mkdir()
    for patient in PATIENTS:
        for modality, name in NAMES[layout].items():
            place = folder / name.format(case=patient)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(data / "petct_sts" / patient / FILES[modality])
    if layout is Layout.BIDS:
        # A sidecar as PET-BIDS really has it: with no word of fedmq's.
        sidecar = data / "bids_pet/pet003/sub-01/ses-01/pet/sub-01_ses-01_pet.json"
        for patient in PATIENTS:
            shutil.copy(sidecar, folder / f"sub-{patient}/ses-01/pet/sub-{patient}_ses-01_pet.json")
    if layout is Layout.MSD:
        (folder / "dataset.json").write_text('{"modality": {"0": "CT", "1": "PET"}}')
    table = "clinical.csv" if layout is not Layout.BIDS else "participants.tsv"
    (folder / table).write_text("PatientID,age\nsts_002,61\nsts_019,62\n")
    found = add(records, folder)
    assert found.contents.data_map.layout is layout
    assert (found.num_sound, found.findings) == (2, ())
    for patient, case in zip(PATIENTS, found.cases, strict=True):
        assert case.case_id.removeprefix("sub-") == patient
        assert case.clinical["age"] in {"61", "62"}
        assert {word: path.resolve().name for word, path in case.volumes.items()} == FILES
        assert all(path.resolve().parent.name == patient for path in case.volumes.values())
    assert found.spacing_mm["CT"] == (
        pytest.approx((0.977, 0.977, 3.27), abs=0.01),
        pytest.approx((0.977, 0.977, 3.27), abs=0.01),
    )
    assert found.contents.ignored == ()


def test_the_folder_as_it_was_published_is_understood(data: Path, records: Records) -> None:
    """Six patients; masks of the CT and slices beside them are named, not read."""
    found = add(records, data / "petct_sts")
    assert found.num_sound == len(found.cases) == 6
    why = {one.path: one.why for one in found.contents.ignored}
    assert why["STS_002/CT_mask.nii.gz"] == "PET_mask.nii.gz is taken for the MASK"
    slices = [path for path in why if path.startswith("STS_008/dicom/")]
    assert slices
    assert all("no volumes" in why[path] for path in slices)
