"""Acquisitions: what the tables of BIDS say of when scans were taken, and what is wrong in them."""

from datetime import date
from pathlib import Path

import pytest

from fedmq.imaging.baseline import DatedScan
from fedmq.imaging.layouts.arranging import ScanFiles
from fedmq.imaging.layouts.scan_days import date_scans

SCANS = [
    ScanFiles(
        case_id="sub-02",
        name=f"ses-{name}",
        volumes={
            "CT": f"sub-02/ses-{name}/anat/sub-02_ses-{name}_ct.nii.gz",
            "PET": f"sub-02/ses-{name}/pet/sub-02_ses-{name}_pet.nii.gz",
        },
    )
    for name in ("a", "b")
]


def put(folder: Path, *rows: str, session: str = "a") -> None:
    """Write the table of the scans of a session."""
    place = folder / "sub-02" / f"ses-{session}" / f"sub-02_ses-{session}_scans.tsv"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(("filename\tacq_time", *rows)))


def put_sessions(folder: Path, *lines: str) -> None:
    """Write the table of sessions."""
    (folder / "sub-02").mkdir(exist_ok=True)
    (folder / "sub-02" / "sub-02_sessions.tsv").write_text("\n".join(lines))


def of_scans(folder: Path) -> tuple[list[DatedScan], tuple[str, ...]]:
    """Return the scans with what is known of them, and the notes."""
    dated, notes = date_scans(folder, SCANS, ())
    return list(dated), notes


def test_dates_stand_in_the_table_of_scans_or_of_sessions(tmp_path: Path) -> None:
    """A file's own counts before its session's; `n/a` says nothing."""
    put(tmp_path, "pet/sub-02_ses-a_pet.nii.gz\t1901-03-09T10:11:12.5", "anat/x.nii.gz\tsoon")
    put(tmp_path, "pet/sub-02_ses-b_pet.nii.gz\tn/a", session="b")
    put_sessions(
        tmp_path, "session_id\tacq_time", "ses-a\t1999-01-01T00:00:00", "ses-b\t1901-03-05"
    )
    (first, second), notes = of_scans(tmp_path)
    assert (first.acquired, second.acquired) == (date(1901, 3, 9), date(1901, 3, 5))
    assert (first.is_unclear, second.is_unclear, notes) == (False, False, ())


def test_a_day_of_one_scan_gives_those_of_the_others(tmp_path: Path) -> None:
    """By the days between them, whatever the dates were shifted by."""
    put_sessions(
        tmp_path,
        "session_id\tscan_day\tacq_time",
        "ses-a\t-3\t1901-03-09T10:00:00Z",
        "ses-b\tn/a\t1901-04-18T10:00:00Z",
    )
    dated, notes = of_scans(tmp_path)
    assert ([one.day for one in dated], notes) == ([-3, 37], ())


def test_days_that_contradict_dates_are_told(tmp_path: Path) -> None:
    """The days that somebody wrote stay as they are."""
    lines = ("session_id\tscan_day\tacq_time", "ses-a\t-3\t1901-03-09", "ses-b\t30\t1901-04-18")
    put_sessions(tmp_path, *lines)
    dated, notes = of_scans(tmp_path)
    assert [one.day for one in dated] == [-3, 30]
    assert notes == ("sub-02: scan_day and acq_time differ in the days between scans",)


@pytest.mark.parametrize("said", ["31.01.1901", "10:11:12", "1901-02-30", "1901-3-9", "soon"])
def test_what_is_no_date_is_named_and_taken_for_none(tmp_path: Path, said: str) -> None:
    """With the file and the line, and not what stands there; nothing else is believed then."""
    put(tmp_path, f"pet/sub-02_ses-a_pet.nii.gz\t{said}")
    (first, second), (note,) = of_scans(tmp_path)
    assert "the acq_time of sub-02_ses-a_scans.tsv, line 2, is no date such as" in note
    assert said not in note
    assert (first.acquired, first.is_unclear, second.is_unclear) == (None, True, False)


def test_volumes_of_several_days_say_no_date(tmp_path: Path) -> None:
    """One of them may be another scan's."""
    rows = [
        f"{name}\t1901-03-0{day}"
        for day, name in enumerate(
            ("anat/sub-02_ses-a_ct.nii.gz", "pet/sub-02_ses-a_pet.nii.gz"), 1
        )
    ]
    put(tmp_path, *rows)
    (first, _), notes = of_scans(tmp_path)
    assert (first.acquired, first.is_unclear) == (None, True)
    assert notes == ("sub-02: its scan ses-a is of several days by acq_time",)


def test_a_table_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It might have said something of any scan."""
    put(tmp_path)
    put_sessions(tmp_path, "session\tacq_time", "ses-a\t1901-03-09")
    dated, notes = of_scans(tmp_path)
    assert all(one.is_unclear for one in dated)
    assert notes[0].startswith("sub-02: sub-02_ses-a_scans.tsv is empty")
    assert notes[1] == "sub-02: sub-02_sessions.tsv has no single column session_id"
