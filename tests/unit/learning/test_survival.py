"""Survival analysis, against what can be counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.learning.plan import Ratio
from fedmq.learning.survival import concordance, interval_index, interval_targets, risk_at

CUTS = (3.0, 6.0, 12.0)
case_rows = st.lists(
    st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 4)), min_size=0, max_size=12
)


def count_pairs(rows: list[tuple[int, bool, int]]) -> Ratio:
    """Return concordance pair by pair, as the definition says it."""
    concordant, comparable = 0.0, 0
    for i, (time, event, risk) in enumerate(rows):
        for j, (other_time, other_event, other_risk) in enumerate(rows):
            later = other_time > time or (other_time == time and not other_event)
            if i != j and event and later:
                comparable += 1
                concordant += 1.0 if risk > other_risk else 0.5 if risk == other_risk else 0.0
    return Ratio(numerator=concordant, denominator=comparable)


@given(case_rows)
def test_concordance_is_its_definition(rows: list[tuple[int, bool, int]]) -> None:
    """Ties in time, ties in risk, no event, no case at all."""
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    assert concordance(*columns) == count_pairs(rows)


def test_a_perfect_ranking_is_one_and_its_reverse_is_zero() -> None:
    """Four comparable pairs: the censored case in second place counts for what came before it."""
    times, events = [1, 2, 3, 4], [True, False, True, True]
    assert concordance(times, events, [4, 3, 2, 1]) == Ratio(numerator=4, denominator=4)
    assert concordance(times, events, [1, 2, 3, 4]) == Ratio(numerator=0, denominator=4)


def test_a_time_at_a_cut_belongs_before_it() -> None:
    """So that survival at the cut is the chance to live beyond it."""
    times = [0.0, 2.9, 3.0, 3.1, 6.0, 12.0, 12.1]
    assert interval_index(times, CUTS).tolist() == [0, 0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("time", "event", "ends", "observed"),
    [
        (2.0, True, [1, 0, 0], [1, 0, 0]),
        (6.0, True, [0, 1, 0], [1, 1, 0]),
        (12.5, True, [0, 0, 0], [1, 1, 1]),
        (1.4, False, [0, 0, 0], [0, 0, 0]),
        (1.5, False, [0, 0, 0], [1, 0, 0]),
        (5.0, False, [0, 0, 0], [1, 1, 0]),
        (12.0, False, [0, 0, 0], [1, 1, 1]),
    ],
)
def test_what_was_observed_in_an_interval_counts(
    time: float, *, event: bool, ends: list[float], observed: list[float]
) -> None:
    """An end counts up to its interval, a last visit where it covers half of one."""
    end_rows, observed_rows = interval_targets([time], [event], CUTS)
    assert end_rows.tolist() == [ends]
    assert observed_rows.tolist() == [observed]


def test_risk_is_the_chance_not_to_live_beyond_the_horizon() -> None:
    """1 - 0.5 * 0.8 after two intervals; the third does not matter; no horizon between cuts."""
    hazards = np.array([[0.5, 0.2, 0.9], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(risk_at(hazards, CUTS, 6.0), [0.6, 0.0])
    with pytest.raises(ValueError, match="horizon"):
        risk_at(hazards, CUTS, 7.0)
