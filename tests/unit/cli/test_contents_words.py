"""`fedmq node data add`: what was understood of a folder, and what may be said of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.types import Role
from tests.support.layouts import put_bids, put_folders, put_hecktor, put_scan, put_volume
from tests.unit.cli.line import CommandLine

PAIR = "half of a pair .img/.hdr: make one file of it, with nib-convert IMG NII.GZ"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node."""
    credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    return fedmq


def test_what_was_understood_is_printed(node: CommandLine, home: Path) -> None:
    """Layout, spacing, scans, rows by name, what was ignored and why; a check says the same."""
    put_bids(home / "cases")
    (home / "cases" / "sub-01" / "pet" / "sub-01_pet.img").touch()
    rows = "participant_id\tage\nsub-01\t61\n2\t62\nsub-09\t63\n"
    (home / "cases" / "participants.tsv").write_text(rows)
    refused = node("node", "data", "add", "lung", "cases")
    assert refused.code == 1
    assert "1 of 2 cases have several scans" in refused.talk
    assert "sub-02 (2)" in refused.talk
    assert "--baseline last" in refused.talk
    added = node(
        "node", "data", "add", "lung", "cases", "--baseline", "last", "--window", "-42", "0"
    )
    assert added.code == 0, added.talk
    assert added.data.splitlines() == [
        "lung: 2 cases, 2 without a finding",
        "  CT        1  not of sub-02",
        "  MASK      1  not of sub-02",
        "  PET       2",
        "  clinical  2",
        "  layout    bids-pet",
        "  spacing   CT 4.00 x 4.00 x 4.00 mm",
        "  spacing   MASK 4.00 x 4.00 x 4.00 mm",
        "  spacing   PET 4.00 x 4.00 x 4.00 mm",
        "  scans     1 case with 1, 1 case with 2",
        "  baseline  sub-02 ses-2",
        "  no day    sub-01: taken, though nobody knows whether in the window",
        "  rows      of 2 cases",
        "    taken, though written otherwise: 2 for sub-02",
        "    of no case: sub-09",
        "  note      the column participant_id of participants.tsv names the cases",
        f"  ignored   sub-01/pet/sub-01_pet.img: {PAIR}",
    ]
    assert node("node", "data", "check", "lung").data == added.data


def test_an_alias_whose_case_is_away_is_named(node: CommandLine, home: Path) -> None:
    """It is kept, and its row is no other's."""
    for name in ("007", "B"):
        put_scan(home / "cases" / name, names="PET")
    (home / "cases" / "clinical.csv").write_text("case_id,x\n7,1\nB,2\n")
    node("node", "data", "add", "lung", "cases")
    (home / "cases" / "007").rename(home / "cases" / "07")
    checked = node("node", "data", "check", "lung")
    assert (
        "    not used now, kept until the dataset is added anew: 7 for 007\n    of no case: 7\n"
        in checked.data
    )
    assert node("node", "data", "check", "lung", "--json").json["clinical"]["unused"] == {
        "7": "007"
    }


def test_names_beyond_ten_are_counted_and_all_in_json(node: CommandLine, home: Path) -> None:
    """Of cases, of rows, of what was ignored."""
    for number in range(12):
        put_scan(home / "cases" / f"{number:03}", names="PET")
        (home / "cases" / f"{number:03}" / "T1.nii.gz").touch()
    ids = "".join(f"{number}.0,1\nx{number},2\n" for number in range(12))
    (home / "cases" / "clinical.csv").write_text(f"ID,x\n{ids}")
    added = node("node", "data", "add", "lung", "cases")
    assert "taken, though written otherwise: 0.0 for 000, 1.0 for 001, " in added.data
    assert added.data.count(" and 2 more") == 3
    document = node("node", "data", "check", "lung", "--json").json
    assert len(document["clinical"]["aliases"]) == 12
    assert len(document["clinical"]["rows_without_case"]) == 12
    assert len(document["ignored"]) == 12
    assert document["spacing_mm"]["PET"] == {"least": [4.0] * 3, "largest": [4.0] * 3}
    assert document["layout"] == "folders"
    again = node("node", "data", "add", "lung-2", "cases", "--json").json
    del document["page"]  # that a check writes
    assert again == document | {"dataset": "lung-2"}


def test_cases_without_a_baseline_are_named(node: CommandLine, home: Path) -> None:
    """They are kept, and lack their volumes; --json has all of them."""
    put_folders(home / "cases")
    added = node("node", "data", "add", "lung", "cases", "--window", "-20", "0")
    assert added.code == 0
    assert "no baseline, so without volumes: p2: no scan lies in the window: days -40, 25" in (
        added.data
    )
    assert "  PET       1  not of p2" in added.data
    document = node("node", "data", "check", "lung", "--json").json
    assert document["without_baseline"].keys() == {"p2"}
    assert document["num_scans"] == {"p1": 1, "p2": 2}
    named = node("node", "data", "add", "second", "cases", "--baseline", "scan-2")
    assert "p1: it has no scan scan-2; it has scan-1" in named.data


def test_a_map_is_read_from_a_file(node: CommandLine, home: Path) -> None:
    """For any other layout; with a layout beside it nobody knows which is meant."""
    put_volume(home / "cases" / "p1 fdg.nii.gz", "PET")
    refused = node("node", "data", "add", "lung", "cases")
    assert refused.code == 1
    assert "p1 fdg.nii.gz" in refused.talk
    assert "--map FILE" in refused.talk
    (home / "map.toml").write_text('[volumes]\nPET = "{case} fdg.nii.gz"\n')
    added = node("node", "data", "add", "lung", "cases", "--map", "map.toml")
    assert "layout    patterns" in added.data
    (listed,) = node("node", "data", "list", "--json").json["datasets"]
    assert listed["data_map"]["volumes"] == {"PET": ["{case} fdg.nii.gz"]}
    for said in (("--layout", "klingon"), ("--layout", "msd", "--map", "map.toml")):
        outcome = node("node", "data", "add", "x", "cases", *said)
        assert (outcome.code, outcome.data) == (1, "")
        assert "cannot be used" in outcome.talk


def test_columns_and_encoding_may_be_said(node: CommandLine, home: Path) -> None:
    """Where a table has several ids, or is not in UTF-8."""
    put_hecktor(home / "cases")
    table = "id;patient_id;Größe\n1;CHUP-001;1,80\n".encode("windows-1252")
    (home / "cases" / "clinical.csv").write_bytes(table)
    refused = node("node", "data", "add", "lung", "cases")
    assert "--encoding windows-1252" in refused.talk
    said = ("--encoding", "windows-1252")
    refused = node("node", "data", "add", "lung", "cases", *said)
    assert "id, patient_id could all be it" in refused.talk
    added = node("node", "data", "add", "lung", "cases", *said, "--id-column", "patient_id")
    assert added.code == 0
    assert "rows      of 1 case" in added.data
    assert "note      clinical.csv was read as windows-1252" in added.data


def test_that_no_case_has_a_pet_is_printed(node: CommandLine, home: Path) -> None:
    """A folder of CTs is a dataset, and looks like what it is."""
    put_scan(home / "cases" / "A", names="CT")
    added = node("node", "data", "add", "lung", "cases")
    assert "  CT        1\n  PET       0\n  clinical  0\n" in added.data
    assert node("node", "data", "check", "lung", "--json").json["cases_without"]["PET"] == ["A"]


def test_names_that_a_screen_would_obey_are_spelt_out(node: CommandLine, home: Path) -> None:
    """Each on its line, among what is ignored; ids of a table, too."""
    put_scan(home / "cases" / "A", names="PET")
    for name in ("b\x1b[31m", "c\nnext: rm", os.fsdecode(b"caf\xe9")):
        put_scan(home / "cases" / name, names="PET")
    (home / "cases" / "clinical.csv").write_text('case_id,x\nA,1\n"7\nnext: rm",2\n')
    added = node("node", "data", "add", "lung", "cases")
    assert added.code == 0
    why = "its name has a control character, such as a line feed: rename it"
    assert f"  ignored   b\\x1b[31m, c\\nnext: rm: {why}\n" in added.data
    assert "  ignored   caf\\udce9: its name is no Unicode: rename it\n" in added.data
    assert "    of no case: 7\\nnext: rm\n" in added.data


def test_rows_that_nobody_has_are_explained(node: CommandLine, home: Path) -> None:
    """No table, or one whose ids are other words: both look like `clinical 0`."""
    put_scan(home / "cases" / "A", names="PET")
    added = node("node", "data", "add", "lung", "cases")
    assert "rows      none: no clinical.csv lies in the folder" in added.data
    (home / "cases" / "clinical.csv").write_text("case_id,age\n1,61\n")
    added = node("node", "data", "add", "lung-2", "cases")
    assert "    of no case: 1\n    cases without one: A\n    are ids" in added.data
    assert "--id-column" in added.data


def test_a_folder_without_volumes_says_what_was_looked_for(node: CommandLine, home: Path) -> None:
    """A folder for each case; or files of DICOM, which another command reads."""
    (home / "cases").mkdir()
    (home / "cases" / "notes.txt").touch()
    refused = node("node", "data", "add", "lung", "cases")
    assert "each case has a folder of its own, and it has no folder" in refused.talk
    (home / "cases" / "CT").mkdir()
    (home / "cases" / "CT" / "1.dcm").touch()
    refused = node("node", "data", "add", "lung", "cases")
    assert "fedmq node data import" in refused.talk


def test_a_file_that_cannot_be_used_is_named_once_with_its_case(
    node: CommandLine, home: Path
) -> None:
    """And the case's other volumes are."""
    for case in ("A", "B"):
        put_scan(home / "cases" / case)
    (home / "cases" / "A" / "PET.nii.gz").write_bytes(b"")
    added = node("node", "data", "add", "lung", "cases")
    assert "A: corrupt_file: case A: PET.nii.gz cannot be used; why: it is empty" in added.data


def test_what_baselines_were_chosen_by_is_said_where_it_knows_no_time_zero(
    node: CommandLine, home: Path
) -> None:
    """Times of acquisition, dates in names; `_scans.tsv` is no stray file."""
    for case, names in (
        ("sub-01", ("ses-1", "ses-2")),
        ("sub-02", ("ses-20200131", "ses-20200215")),
    ):
        for name in names:
            put_volume(home / "cases" / case / name / "pet" / f"{case}_{name}_pet.nii.gz", "PET")
    for name, when in (("ses-1", "1901-05-01T10:00:00"), ("ses-2", "1901-02-01T10:00:00")):
        text = f"filename\tacq_time\npet/sub-01_{name}_pet.nii.gz\t{when}\n"
        (home / "cases" / "sub-01" / name / f"sub-01_{name}_scans.tsv").write_text(text)
    added = node("node", "data", "add", "lung", "cases", "--baseline", "last")
    after = "with no day from time zero, so perhaps after it"
    assert "  baseline  sub-01 ses-1, sub-02 ses-20200215\n" in added.data
    assert f"    by acq_time, {after}: sub-01\n" in added.data
    assert f"    by the dates in their names, {after}: sub-02\n" in added.data
    assert "ignored" not in added.data
    document = node("node", "data", "check", "lung", "--json").json
    assert document["chosen_by"] == {"sub-01": "acq_time", "sub-02": "the dates in their names"}
    window = ("--baseline", "last", "--window", "-42", "0")
    refused = node("node", "data", "add", "lung-2", "cases", *window)
    assert "no baseline scan: no scan_day is known of ses-1, ses-2" in refused.talk
