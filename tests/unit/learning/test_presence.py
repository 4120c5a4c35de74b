"""Presence: what is dropped follows the seed alone, nobody loses all, and counts are sums."""

from typing import Final

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedmq.learning.plan import Ratio
from fedmq.learning.presence import Presence, count_present, drop_modalities

TABLES: Final = st.integers(0, 12).flatmap(
    lambda rows: arrays(np.bool_, st.tuples(st.just(rows), st.integers(1, 3)))
)
RATES: Final = st.floats(0.0, 1.0)


@given(TABLES, RATES, st.integers(0, 99))
def test_one_modality_goes_at_most_and_never_the_last(
    presence: Presence, rate: float, seed: int
) -> None:
    """Nothing comes that was not there; the table that was given stays as it is."""
    before = presence.copy()
    kept = drop_modalities(presence, rate, np.random.default_rng(seed))
    assert np.array_equal(presence, before)
    assert not (kept & ~presence).any()
    lost = presence.sum(axis=1) - kept.sum(axis=1)
    assert set(lost.tolist()) <= {0, 1}
    assert np.array_equal(kept.any(axis=1), presence.any(axis=1))
    again = drop_modalities(presence, rate, np.random.default_rng(seed))
    assert np.array_equal(kept, again)


@given(TABLES, st.integers(0, 99))
def test_a_rate_of_nothing_takes_nothing_and_one_takes_from_all_that_have_two(
    presence: Presence, seed: int
) -> None:
    """The ends of the range."""
    rng = np.random.default_rng(seed)
    assert np.array_equal(drop_modalities(presence, 0.0, rng), presence)
    lost = presence.sum(axis=1) - drop_modalities(presence, 1.0, rng).sum(axis=1)
    assert np.array_equal(lost, (presence.sum(axis=1) > 1).astype(int))


@given(TABLES.filter(lambda table: len(table) > 1), RATES, st.integers(0, 99))
def test_what_one_case_lacks_changes_nothing_for_the_others(
    presence: Presence, rate: float, seed: int
) -> None:
    """As many numbers are drawn."""
    other = presence.copy()
    other[0] = False
    one, two = (
        drop_modalities(table, rate, np.random.default_rng(seed)) for table in (presence, other)
    )
    assert np.array_equal(one[1:], two[1:])


def test_the_rate_is_that_of_cases_and_each_modality_goes_as_often() -> None:
    """Of 40,000 cases, within five standard deviations."""
    whole = np.ones((40_000, 2), np.bool_)
    lost = ~drop_modalities(whole, 0.3, np.random.default_rng(1))
    assert abs(lost.any(axis=1).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 40_000)
    assert np.abs(lost.mean(axis=0) - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 40_000)


@given(st.lists(TABLES.filter(lambda table: table.shape[1] == 2), max_size=4))
def test_counts_of_sites_add_up_to_those_of_all(sites: list[Presence]) -> None:
    """Both parts of the ratio are sums."""
    whole = np.concatenate([np.zeros((0, 2), np.bool_), *sites])
    for name, column in (("PET", 0), ("CT", 1)):
        parts = [count_present(site, ("PET", "CT"))[f"with_{name.lower()}"] for site in sites]
        total = count_present(whole, ("PET", "CT"))[f"with_{name.lower()}"]
        assert total.numerator == sum(part.numerator for part in parts) == whole[:, column].sum()
        assert total.denominator == sum(part.denominator for part in parts)


def test_a_count_is_named_after_its_modality() -> None:
    """In the small letters that metrics have."""
    counts = count_present(np.array([[True, False], [True, True]]), ("PET", "CT"))
    assert counts == {
        "with_pet": Ratio(numerator=2.0, denominator=2.0),
        "with_ct": Ratio(numerator=1.0, denominator=2.0),
    }
