"""Datasets: files find their modality, rows their folder, cases their side of the split."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import case_names, find_cases, split_cases


def put(folder: Path, *names: str) -> Path:
    """Make empty files in a new folder."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def cases_named(*names: str) -> tuple[Case, ...]:
    """Return cases without anything."""
    return tuple(Case(case_id=name, volumes={}, clinical={}) for name in names)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("PET.nii.gz", "CT.nii", "MASK.nii.gz"), ("PET.nii.gz", "CT.nii", "MASK.nii.gz")),
        (
            ("PET_image.nii.gz", "PET_mask.nii.gz", "CT_image.nii.gz", "CT_mask.nii.gz"),
            ("PET_image.nii.gz", "CT_image.nii.gz", "PET_mask.nii.gz"),
        ),
        (
            ("SUV.nii.gz", "PET.nii.gz", "CT.nii.gz", "CTres.nii.gz", "SEG.nii.gz"),
            ("SUV.nii.gz", "CT.nii.gz", "SEG.nii.gz"),
        ),
        (("CT-1__ct.nii.gz", "ct-1__PT.nii.gz", "x.txt"), ("ct-1__PT.nii.gz", "CT-1__ct.nii.gz")),
    ],
)
def test_files_are_known_by_the_words_of_their_names(
    tmp_path: Path, names: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """Upper or lower case; words, not parts of words; the case's own name does not count."""
    put(tmp_path / "CT-1", *names)
    (case,) = find_cases(tmp_path)
    found = {modality: path.name for modality, path in case.volumes.items()}
    assert found == dict(zip(("PET", "CT", "MASK"), expected, strict=False))


def test_the_name_of_the_case_says_nothing_of_the_modality(tmp_path: Path) -> None:
    """A study called PET-CT-7 has no PET in every file."""
    put(tmp_path / "PET-CT-7", "PET-CT-7_ct.nii.gz", "pet-ct-7_seg.nii.gz")
    (case,) = find_cases(tmp_path)
    assert {modality: path.name for modality, path in case.volumes.items()} == {
        "CT": "PET-CT-7_ct.nii.gz",
        "MASK": "pet-ct-7_seg.nii.gz",
    }


def test_two_files_for_one_modality_are_not_guessed_at(tmp_path: Path) -> None:
    """Which of two CTs is meant, only the site knows."""
    put(tmp_path / "A", "CT_1.nii.gz", "CT_2.nii.gz")
    with pytest.raises(DatasetError) as caught:
        find_cases(tmp_path)
    assert (caught.value.code, caught.value.case) == ("ambiguous_file", "A")


def test_cases_come_by_name_with_their_rows(tmp_path: Path) -> None:
    """Hidden folders are no cases."""
    for name in ("B", "A", ".cache"):
        put(tmp_path / name, "PET.nii.gz")
    table = tmp_path / "clinical.csv"
    table.write_text("case_id,age\nA,61\nC,70\n")
    cases = find_cases(tmp_path, None)
    assert [(case.case_id, dict(case.clinical)) for case in cases] == [
        ("A", {"age": "61"}),
        ("B", {}),
    ]


def test_a_table_elsewhere_must_be_there(tmp_path: Path) -> None:
    """A table that was named is not optional."""
    put(tmp_path / "A", "PET.nii.gz")
    with pytest.raises(DatasetError) as caught:
        find_cases(tmp_path, tmp_path / "other.csv")
    assert caught.value.code == "missing_file"


def test_a_folder_without_cases_is_no_dataset(tmp_path: Path) -> None:
    """Neither is a folder that does not exist."""
    for folder, code in ((tmp_path, "empty"), (tmp_path / "gone", "missing_file")):
        with pytest.raises(DatasetError) as caught:
            find_cases(folder)
        assert caught.value.code == code


def test_a_split_depends_on_names_and_seed_only() -> None:
    """The order in which cases are found does not matter; another seed is another split."""
    cases = cases_named(*(f"case-{number:02}" for number in range(20)))
    training, validation = split_cases(cases, seed=7)
    assert split_cases(tuple(reversed(cases)), seed=7) == (training, validation)
    assert (len(training), len(validation)) == (16, 4)
    assert {case.case_id for case in (*training, *validation)} == {case.case_id for case in cases}
    assert split_cases(cases, seed=8)[1] != validation


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(1, 0.2, 0), (2, 0.2, 1), (3, 0.01, 1), (2, 0.9, 1), (5, 0.5, 3), (5, 0.0, 0), (0, 0.2, 0)],
)
def test_two_cases_leave_one_to_each_side(count: int, share: float, expected: int) -> None:
    """A single case trains; where there are two, one validates; a share of zero asks for none."""
    cases = cases_named(*(f"case-{number}" for number in range(count)))
    assert len(split_cases(cases, seed=1, validation_share=share)[1]) == expected


def test_a_share_of_everything_is_refused() -> None:
    """Somebody has to train."""
    with pytest.raises(ConfigurationError):
        split_cases(cases_named("A", "B"), seed=1, validation_share=1.0)


def test_a_split_is_pinned() -> None:
    """Nodes of different versions must split alike: the digest's text is part of the protocol."""
    _, validation = split_cases(cases_named("A", "B", "C", "D", "E"), seed=42)
    assert [case.case_id for case in validation] == ["A"]


@given(
    count=st.integers(1, 30),
    gone=st.sets(st.integers(0, 29)),
    seed=st.integers(0, 2**32),
    share=st.floats(0.0, 0.99),
)
def test_a_withdrawn_case_moves_nobody_else(
    count: int, gone: set[int], seed: int, share: float
) -> None:
    """The rest stay where they were, with or without the files of those that went."""
    cases = cases_named(*(f"case-{number:02}" for number in range(count)))
    names = {case.case_id for case in cases}
    withdrawn = {f"case-{number:02}" for number in gone} & names
    before = split_cases(cases, seed=seed, validation_share=share)
    rest = tuple(case for case in cases if case.case_id not in withdrawn)
    expected = tuple(
        tuple(case for case in side if case.case_id not in withdrawn) for side in before
    )
    for found in (cases, rest):
        split = split_cases(found, seed=seed, validation_share=share, withdrawn=withdrawn)
        assert split == expected


def test_a_case_that_is_only_left_out_moves_others() -> None:
    """What a withdrawn case's empty place is for."""
    cases = cases_named("A", "B", "C", "D", "E")
    _, before = split_cases(cases, seed=42)
    assert [case.case_id for case in before] == ["A"]
    assert split_cases(cases[1:], seed=42)[1] != ()
    assert split_cases(cases[1:], seed=42, withdrawn=["A"])[1] == ()


def test_nothing_is_looked_for_in_the_folders_of_cases_that_are_left_out(tmp_path: Path) -> None:
    """Two files for one modality are a fault of a case that counts."""
    put(tmp_path / "A", "PET.nii.gz")
    put(tmp_path / "B", "a_PET.nii.gz", "b_PET.nii.gz")
    with pytest.raises(DatasetError):
        find_cases(tmp_path)
    assert [case.case_id for case in find_cases(tmp_path, without={"B"})] == ["A"]
    assert case_names(tmp_path) == ("A", "B")
    assert case_names(tmp_path / "elsewhere") == ()
