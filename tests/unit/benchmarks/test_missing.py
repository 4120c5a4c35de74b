"""The experiment on missing modalities: who lacks what, who is judged, how sure a difference is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.missing import (
    BASE,
    COMPARED,
    KINDS,
    SCENARIOS,
    compare,
    interval_of_mean,
    make_cohort,
)

pytestmark = pytest.mark.training


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_sites_lack_what_they_are_said_to_and_nobody_lacks_both(
    tmp_path: Path, scenario: str
) -> None:
    """The kept are judged once with all and once as they are there; none of them trains."""
    cohort = make_cohort(tmp_path, SCENARIOS[scenario], seed=3, learnt=0.1, kept=0.2)
    complete, as_there = cohort.kept["complete"], cohort.kept["as_there"]
    for site, shares in SCENARIOS[scenario].items():
        learnt = {case.case_id for case in cohort.training[site]}
        kept = {case.case_id for case in complete[site]}
        assert not learnt & kept
        assert kept == {case.case_id for case in as_there[site]}
        assert all({"PET", "CT"} <= set(case.volumes) for case in complete[site])
        cases = [*cohort.training[site], *as_there[site]]
        assert all({"PET", "CT"} & set(case.volumes) for case in cases)
        for modality in ("PET", "CT"):
            lacking = sum(modality not in case.volumes for case in cases)
            share = shares.get(modality, 0.0)
            assert lacking in {
                0.0: {0},
                1.0: {len(cases)},
            }.get(share, range(1, len(cases)))
        incomplete = {case.case_id for case in cohort.kept["incomplete"][site]}
        assert incomplete == {
            case.case_id for case in as_there[site] if not {"PET", "CT"} <= set(case.volumes)
        }


@given(st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=20), st.integers(0, 9))
def test_the_interval_holds_the_mean_and_lies_among_the_values(
    values: list[float], seed: int
) -> None:
    """The same seed gives the same interval; of equal values it has no width."""
    low, high = interval_of_mean(values, seed=seed)
    slack = 1e-9
    assert min(values) - slack <= low <= high <= max(values) + slack
    assert (low, high) == interval_of_mean(values, seed=seed)
    same_low, same_high = interval_of_mean([values[0]] * 3, seed=seed)
    assert same_low == pytest.approx(values[0])
    assert same_high == pytest.approx(values[0])


def test_a_way_is_held_against_complete_cases_at_their_best() -> None:
    """Which is not the last number of rounds, where they were learnt by heart."""
    rounds = (5, 10, 20, 30, 45, 60)
    base = dict(zip(rounds, (0.5, 0.7, 0.6, 0.6, 0.6, 0.5), strict=True))
    found = {
        (way, kind, at): (base[at] if way == BASE else at / 100) + seed / 100
        for seed in range(1)
        for way in COMPARED
        for kind in KINDS
        for at in rounds
    }
    figures = compare([found, {key: one + 0.01 for key, one in found.items()}], COMPARED)
    assert figures["complete_best_on_complete_at"] == 10
    assert figures["learn_gain_on_complete"] == [0.1, 0.1, 0.1, 2]
    assert figures["learn_gain_over_best_on_complete"] == [-0.1, -0.1, -0.1, 0]
    assert figures["learn_on_incomplete"] == [0.055, 0.105, 0.205, 0.305, 0.455, 0.605]
