"""`fedmq node data features`: what is measured, who has none, and where it is written."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.feature_table import COLUMNS
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume, load_volume, save_volume
from fedmq.types import Role
from tests.unit.cli.line import CommandLine

LYON = "chu-lyon"
FIRST, SECOND, THIRD = (f"{LYON}-{number:03}" for number in (1, 2, 3))


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node with a dataset of three cases, one without a mask."""
    credentials(LYON, Role.NODE, home / "node" / "credentials.toml")
    write_cohort(SITES[LYON], home / "cases", num_cases=3)
    (home / "cases" / FIRST / "MASK.nii.gz").unlink()
    assert fedmq("node", "data", "add", "lung", "cases").code == 0
    return fedmq


def test_features_are_shown_and_cases_without_are_named(node: CommandLine) -> None:
    """A row for each case, empty where there is nothing; a missing mask is no failure."""
    outcome = node("node", "data", "features", "lung", "--jobs", "2")
    assert (outcome.code, outcome.ends_with_next) == (0, True)
    header, *rows = [line.split() for line in outcome.data.splitlines()]
    assert header[:2] == ["case", "suv_max"]
    assert [row[0] for row in rows] == [FIRST, SECOND, THIRD]
    assert set(rows[0][1:]) == {"-"}
    assert all(float(cell) >= 0 for row in rows[1:] for cell in row[1:])
    assert f"{FIRST} has no features: it has no MASK" in outcome.talk
    assert "lung: 2 cases measured now, 0 as before, 1 without features" in outcome.talk
    again = node("node", "data", "features", "lung")
    assert again.data == outcome.data
    assert "lung: 0 cases measured now, 2 as before, 1 without features" in again.talk


def test_all_columns_go_to_a_file_and_to_programs(node: CommandLine, home: Path) -> None:
    """The file is its owner's; it does not tell of which files the numbers are."""
    (home / "out.csv").write_text("old")
    document = node("node", "data", "features", "lung", "--out", "out.csv", "--json").json
    assert document["dataset"] == "lung"
    assert document["without"] == [{"case_id": FIRST, "why": "it has no MASK"}]
    assert document["doubts"] == []
    assert (home / "out.csv").stat().st_mode & 0o777 == 0o600
    with (home / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [list(row) for row in rows] == [["case_id", *COLUMNS]] * 3
    for row, case in zip(rows, document["cases"], strict=True):
        assert row.pop("case_id") == case.pop("case_id")
        assert {name: float(cell) if cell else None for name, cell in row.items()} == case
    assert sorted(path.name for path in home.iterdir()) == ["cases", "node", "out.csv"]


def test_a_file_that_cannot_be_read_ends_short_and_the_rest_is_measured(
    node: CommandLine, home: Path
) -> None:
    """The next command says which file it is."""
    (home / "cases" / SECOND / "PET.nii.gz").write_bytes(b"no image")
    outcome = node("node", "data", "features", "lung")
    assert outcome.code == 3
    assert f"{SECOND} has no features: case {SECOND}: PET.nii.gz cannot be used" in outcome.talk
    assert "next: fedmq node data check lung" in outcome.talk
    assert "1 case measured now" in outcome.talk


def test_a_mask_that_lies_in_part_beside_its_pet_is_told(node: CommandLine, home: Path) -> None:
    """The numbers are there, and may be too low; the check says so too, as a doubt."""
    path = home / "cases" / SECOND / "MASK.nii.gz"
    mask = load_volume(path)
    affine = mask.affine.copy()
    marked = np.flatnonzero(mask.array.any(axis=(0, 1)))
    affine[2, 3] -= (marked[0] + round(0.3 * len(marked))) * mask.spacing_mm[2]
    save_volume(Volume(array=mask.array, affine=affine), path)
    outcome = node("node", "data", "features", "lung")
    assert outcome.code == 0
    assert f"{SECOND}: the mask holds" in outcome.talk
    assert "mask_shrinks" in node("node", "data", "check", "lung").data


def test_a_withdrawn_case_and_a_removed_dataset_leave_no_row(node: CommandLine, home: Path) -> None:
    """At once, in the node's own table."""
    table = home / "node" / "features" / "lung.csv"
    node("node", "data", "features", "lung")
    assert THIRD in table.read_text()
    node("node", "data", "withdraw", "lung", THIRD)
    assert THIRD not in table.read_text()
    assert THIRD not in node("node", "data", "features", "lung").data
    node("node", "data", "remove", "lung")
    assert not table.exists()


def test_an_out_file_in_no_folder_is_an_error(node: CommandLine) -> None:
    """It names the file; what was measured is kept."""
    outcome = node("node", "data", "features", "lung", "--out", "nowhere/out.csv")
    assert outcome.code == 1
    assert "error: the table out.csv cannot be written" in outcome.talk
    assert "2 as before" in node("node", "data", "features", "lung").talk


def test_a_clinical_column_called_as_a_feature_is_refused_by_name(
    node: CommandLine, home: Path
) -> None:
    """What, why and the fix."""
    clinical = home / "cases" / "clinical.csv"
    clinical.write_text(clinical.read_text().replace("ecog", "dmax_mm", 1))
    outcome = node("node", "data", "features", "lung")
    assert outcome.code == 1
    assert "error: columns of the clinical table, or variables" in outcome.talk
    assert "are features too: dmax_mm" in outcome.talk
    assert "fix: give the columns other names" in outcome.talk
