"""Datasets in the layouts that have a name, of small volumes."""

import json
from pathlib import Path
from typing import Final

from fedmq.imaging.volumes import save_volume
from tests.support.fields import affine_of, ball

_AFFINE: Final = affine_of((4.0, 4.0, 4.0), (0.0, 0.0, -20.0))
_SHAPE: Final = (8, 8, 8)
_VALUES: Final = {"PET": 5.0, "MASK": 1.0}


def put_volume(path: Path, modality: str) -> None:
    """Write a volume that no check finds fault with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    volume = ball(_AFFINE, _SHAPE, _VALUES.get(modality, 1040.0), centre=(12, 12, -8))
    if modality == "CT":
        volume.array[...] -= 1000.0
    save_volume(volume, path)


def put_scan(folder: Path, *, day: int | None = None, names: str = "PET CT MASK") -> None:
    """Write a scan as the import does: a folder with a volume for each modality, and a sidecar."""
    for name in names.split():
        put_volume(folder / f"{name}.nii.gz", {"SUV": "PET", "SEG": "MASK"}.get(name, name[:4]))
    if day is not None:
        sidecar = folder / f"{names.split(maxsplit=1)[0]}.json"
        sidecar.write_text(json.dumps({"fedmq": {"scan_day": day}}))


def put_bids(folder: Path) -> None:
    """Write two subjects, the second with two sessions and days, and a mask in derivatives."""
    put_volume(folder / "sub-01/pet/sub-01_trc-18FFDG_pet.nii.gz", "PET")
    put_volume(folder / "sub-01/anat/sub-01_CT.nii.gz", "CT")
    put_volume(folder / "derivatives/lesions/sub-01/pet/sub-01_mask.nii.gz", "MASK")
    for session in ("ses-1", "ses-2"):
        put_volume(folder / f"sub-02/{session}/pet/sub-02_{session}_pet.nii.gz", "PET")
    table = "session_id\tscan_day\nses-1\t-30\nses-2\t-3\n"
    (folder / "sub-02/sub-02_sessions.tsv").write_text(table)
    rows = "participant_id\tage\nsub-01\t61\nsub-02\t62\n"
    (folder / "participants.tsv").write_text(rows)
    (folder / "dataset_description.json").write_text("{}")


def put_hecktor(folder: Path) -> None:
    """Write three patients of two centres, flat, the last without a PET."""
    for case in ("CHUP-001", "CHUM-002", "CHUM-010"):
        put_volume(folder / "imagesTr" / f"{case}__CT.nii.gz", "CT")
        if case != "CHUM-010":
            put_volume(folder / "imagesTr" / f"{case}__PT.nii.gz", "PET")
        put_volume(folder / "labelsTr" / f"{case}.nii.gz", "MASK")
    (folder / "clinical.csv").write_text("PatientID,age\nCHUP-001,61\nCHUM-002,62\nCHUM-010,63\n")


def put_msd(folder: Path) -> None:
    """Write two cases of two channels, as nnU-Net has them."""
    for case in ("lung_001", "lung_002"):
        put_volume(folder / "imagesTr" / f"{case}_0000.nii.gz", "CT")
        put_volume(folder / "imagesTr" / f"{case}_0001.nii.gz", "PET")
        put_volume(folder / "labelsTr" / f"{case}.nii.gz", "MASK")
    content = {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "tumour": 1}}
    (folder / "dataset.json").write_text(json.dumps(content))


def put_autopet(folder: Path) -> None:
    """Write two patients, the second with two studies, called by dates as there."""
    days = {"PETCT_a/07-05-2000": -1, "PETCT_b/03-04-2002": -9, "PETCT_b/11-02-2001": -250}
    for study, day in days.items():
        put_scan(folder / study, names="SUV CTres SEG", day=day)


def put_folders(folder: Path) -> None:
    """Write what the import does: a patient with one scan, one with two."""
    put_scan(folder / "p1_scan-1", day=-10)
    put_scan(folder / "p2_scan-1", day=-40)
    put_scan(folder / "p2_scan-2", day=25)
    (folder / "clinical.csv").write_text("case_id,age\np1,61\np2,62\n")
