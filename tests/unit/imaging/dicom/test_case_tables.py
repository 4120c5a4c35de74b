"""The dataset's own table: rows of many patients, found at once."""

import os
from pathlib import Path

import pytest

from fedmq.disk import LocalDisk
from fedmq.imaging.dicom.case_tables import add_rows
from fedmq.imaging.dicom.pseudonyms import pseudonym, read_secret
from fedmq.imaging.dicom.site_tables import SiteTable


def test_a_dataset_is_listed_once_however_many_patients_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was listed for each, which took ten seconds for two thousand."""
    keeping, target = LocalDisk(tmp_path / "home"), tmp_path / "cases"
    rows = {f"P{number}": (str(number),) for number in range(20)}
    secret = read_secret(keeping)
    for number, patient in enumerate(rows):
        suffix = "_scan-1" if number % 2 else ""
        (target / f"{pseudonym(secret, patient)}{suffix}").mkdir(parents=True)
    listed: list[str] = []
    for name in ("listdir", "scandir"):
        whole = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path=".", whole=whole: [listed.append(str(path)), whole(path)][1]
        )
    added = add_rows(SiteTable(columns=("age",), rows=rows), target, keeping)
    assert (added.num_rows, added.num_others, added.told) == (20, 0, {})
    assert listed.count(str(target)) == 1
