"""Words of file names: which volume they speak for, and where they leave it open."""

import pytest

from fedmq.imaging.layouts.words import modality_by_words, modality_of_channel


@pytest.mark.parametrize("name", ["CT_on_PET", "PET_CT", "ct_to_pet_grid", "SUV-CTres", "pt.ct"])
def test_a_name_that_says_pet_and_ct_is_neithers(name: str) -> None:
    """Which of the two it is, nobody can tell."""
    said = modality_by_words(f"{name}.nii.gz", "A")
    assert isinstance(said, str)
    assert "its name says PET and CT" in said
    assert modality_of_channel(name) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SUV", ("PET", 0)),
        ("pet", ("PET", 1)),
        ("CT", ("CT", 0)),
        ("CTres", ("CT", 1)),
        ("PET_CT_mask", ("MASK", 0)),
        ("ct-seg", ("MASK", 2)),
        ("PET_CT_7_pet", ("PET", 1)),
    ],
)
def test_other_names_say_what_they_are(name: str, expected: tuple[str, int]) -> None:
    """A mask may be of both; what the name has of its case's counts for nothing."""
    assert modality_by_words(f"{name}.nii.gz", "PET_CT_7") == expected


@pytest.mark.parametrize(
    ("case_id", "name", "expected"),
    [
        ("C", "CT", ("CT", 0)),
        ("P", "PET", ("PET", 1)),
        ("s", "SUV", ("PET", 0)),
        ("p1", "p1PET", ("PET", 1)),
        ("CT-1", "CT-1_PET", ("PET", 1)),
        ("CT", "CTPET", ("PET", 1)),
        ("PET", "PET", ("PET", 1)),
        ("ct", "CT", ("CT", 0)),
    ],
)
def test_a_case_whose_name_begins_a_word_loses_no_volume(
    case_id: str, name: str, expected: tuple[str, int]
) -> None:
    """A patient called C has a CT, a folder PET a PET; one called CT-1 has none by its name."""
    assert modality_by_words(f"{name}.nii.gz", case_id) == expected
    for of_patient in ("CT-1_T1", "CT-1"):
        assert isinstance(modality_by_words(f"{of_patient}.nii.gz", "CT-1"), str)
