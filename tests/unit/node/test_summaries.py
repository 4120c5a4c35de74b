"""What may be told of a dataset: no number that a small group of cases could be worked out from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.node.policy import LEAST_CELL
from fedmq.node.summaries import Findings, summarise

LEAST, MOST = (2.0, 2.0, 2.5), (4.07283, 5.5, 3.0)


def find(num_cases: int, num_with: dict[str, int]) -> Findings:
    """Return what was found."""
    ranges = dict.fromkeys(num_with, (LEAST, MOST))
    return Findings(num_cases=num_cases, num_with=num_with, spacing_mm=ranges)


def test_counts_and_ranges_of_spacings_are_told() -> None:
    """By axis, rounded."""
    found = find(40, {"PET": 40, "CT": 30})
    told = summarise("lung", found, None)
    assert (told.dataset, told.num_cases, told.least_cell) == ("lung", 40, LEAST_CELL)
    ct, pet = told.modalities
    assert (pet.modality, pet.num_cases) == ("PET", 40)
    assert (pet.least_mm, pet.most_mm) == ([2.0, 2.0, 2.5], [4.1, 5.5, 3.0])
    assert (ct.modality, ct.num_cases) == ("CT", 30)


@pytest.mark.parametrize(
    ("num_cases", "num_with", "told"),
    [(40, 40, 40), (40, 30, 30), (40, 31, None), (40, 39, None), (40, 9, None), (40, 10, 10)],
)
def test_who_lacks_something_is_not_worked_out(
    num_cases: int, num_with: int, told: int | None
) -> None:
    """Of 40 cases with 39 CT one has none: neither is told."""
    (one,) = summarise("lung", find(num_cases, {"CT": num_with}), None).modalities
    assert one.num_cases == told
    assert (one.least_mm is None) == (told is None)


def test_a_small_dataset_is_only_named() -> None:
    """Its name is what experiments ask for anyway."""
    told = summarise("lung", find(9, {"CT": 9}), None)
    assert told.num_cases is None
    assert told.modalities[0].num_cases is None


def test_no_range_is_told_once_a_case_went_until_the_next_check() -> None:
    """Its ends may be those of the case that was withdrawn."""
    left = find(40, {"PET": 40, "CT": 30}).without(["PET"])
    ct, pet = summarise("lung", left, None).modalities
    assert (pet.num_cases, pet.least_mm, pet.most_mm) == (39, None, None)
    assert (ct.num_cases, ct.least_mm) == (None, None)


@given(st.integers(0, 60), st.data(), st.integers(2, 20))
def test_no_told_number_leaves_a_small_group(
    num_cases: int, data: st.DataObject, cell: int
) -> None:
    """Whatever there is, of those with and those without a modality."""
    num_with = data.draw(st.integers(0, num_cases))
    told = summarise("x", find(num_cases, {"CT": num_with}), None, least_cell=cell)
    if told.num_cases is not None:
        assert told.num_cases >= cell
    for one in told.modalities:
        if one.num_cases is not None:
            assert one.num_cases >= cell
            assert one.num_cases == num_cases or num_cases - one.num_cases >= cell


def test_a_withdrawn_case_is_counted_nowhere() -> None:
    """Nor before the next check."""
    told = summarise("lung", find(41, {"PET": 41, "CT": 30}).without(["PET"]), None)
    assert told.num_cases == 40
    assert {one.modality: one.num_cases for one in told.modalities} == {"CT": 30, "PET": 40}
