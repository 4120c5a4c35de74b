"""An intake: what an experiment began with is what it goes on with, or it says what is gone."""

from pathlib import Path

import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.intake import intake_of, select_intake

FOLDER = Path("/data/lung")


def case(name: str, **volumes: str) -> Case:
    """Return a case with these files."""
    paths = {modality: FOLDER / path for modality, path in volumes.items()}
    return Case(case_id=name, volumes=paths, clinical={})


A = case("a", PET="a/PET.nii", CT="a/CT.nii")
B = case("b", PET="b/PET.nii")
C = case("c")
COHORT = intake_of([A, B, C], FOLDER, unfit={("a", "CT")})


def test_a_intake_has_the_volumes_that_were_fit() -> None:
    """By their place in the folder; also the cases without any."""
    assert COHORT == {"a": {"PET": ("a/PET.nii", 0, 0)}, "b": {"PET": ("b/PET.nii", 0, 0)}, "c": {}}


def test_what_came_later_is_not_used() -> None:
    """Neither another case nor another volume, nor one that was unfit and is not any more."""
    later = case("b", PET="b/PET.nii", CT="b/CT.nii")
    found = select_intake([A, later, C, case("d", PET="d/PET.nii")], FOLDER, COHORT)
    assert found == (case("a", PET="a/PET.nii"), B, C)


def test_in_another_place_it_is_the_same(tmp_path: Path) -> None:
    """A trainer sees the folder by links in its cell."""
    moved = [
        Case(case_id=one.case_id, volumes={"PET": tmp_path / one.case_id / "PET.nii"}, clinical={})
        for one in (A, B)
    ]
    assert len(select_intake([*moved, C], tmp_path, COHORT)) == 3


def test_a_volume_that_was_renamed_is_the_same(tmp_path: Path) -> None:
    """A second scan of a patient renames the folder of the first; what was copied over is not."""
    path = tmp_path / "pt" / "PET.nii"
    path.parent.mkdir()
    path.write_text("uptake")
    intake = intake_of([Case(case_id="pt", volumes={"PET": path}, clinical={})], tmp_path)
    path = path.parent.rename(tmp_path / "pt_scan-1") / "PET.nii"
    moved = Case(case_id="pt", volumes={"PET": path}, clinical={})
    assert select_intake([moved], tmp_path, intake) == (moved,)
    path.write_text("uptake of another day")
    with pytest.raises(DatasetError, match="the PET of pt is another file now"):
        select_intake([moved], tmp_path, intake)


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ([A, C], "b is gone"),
        ([A, case("b"), C], "the PET of b is gone"),
        ([A, case("b", PET="b/scan-2/PET.nii"), C], "the PET of b is another file now"),
        ([C], "a is gone; b is gone"),
    ],
)
def test_what_is_gone_or_another_is_named(cases: list[Case], why: str) -> None:
    """To learn from less without a word would be worse than not to learn."""
    with pytest.raises(DatasetError) as caught:
        select_intake(cases, FOLDER, COHORT)
    assert caught.value.code == "dataset_changed"
    assert caught.value.why == why
    assert "fedmq node data withdraw" in caught.value.fix


def test_of_many_the_first_are_named() -> None:
    """A disk that is not mounted is told in one line."""
    many = intake_of([case(f"case-{number}") for number in range(9)], FOLDER)
    with pytest.raises(DatasetError) as caught:
        select_intake([], FOLDER, many)
    assert caught.value.why == "case-0 is gone; case-1 is gone; case-2 is gone; and 6 more"


def test_nothing_is_asked_of_the_withdrawn() -> None:
    """Their files may be gone, or not: they are in nothing."""
    assert select_intake([A, C], FOLDER, COHORT, without=["b"]) == (case("a", PET="a/PET.nii"), C)
    assert select_intake([A, B, C], FOLDER, COHORT, without=["b"])[1:] == (C,)
