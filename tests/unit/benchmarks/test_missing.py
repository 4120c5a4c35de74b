"""The experiment on missing modalities: who lacks what, who is judged, how sure a difference is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.missing import LACKING, interval_of_mean, make_cohort

pytestmark = pytest.mark.training


def test_sites_lack_what_they_are_said_to_and_nobody_lacks_both(tmp_path: Path) -> None:
    """The kept are judged once with all and once as they are there; none of them trains."""
    cohort = make_cohort(tmp_path, seed=3, learnt=0.1, kept=0.2)
    complete, as_there = cohort.kept["complete"], cohort.kept["as_there"]
    for site, shares in LACKING.items():
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
