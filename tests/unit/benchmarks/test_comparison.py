"""What several turns say, and the ratios of neighbours in time."""

import pytest

from benchmarks.comparison import (
    Missed,
    Turn,
    fastest,
    first_round_ratio,
    spread,
    spread_of_ratios,
    summarise,
)


def turn(*round_s: float, first: float | None = None) -> Turn:
    """Return a turn of some rounds."""
    return Turn(round_s=round_s, first_round_s=first)


MISSED = Missed(why="did not fit, peak 9000 MB", is_final=True)


def test_a_spread_is_the_median_and_the_quartiles() -> None:
    """Of one value it is that value three times."""
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]).figures("s") == {"s": 3.0, "s_low": 2.0, "s_high": 4.0}
    assert spread([7.0]).figures("s") == {"s": 7.0, "s_low": 7.0, "s_high": 7.0}


def test_ratios_are_of_the_same_turn() -> None:
    """A machine that is three times as slow in the second turn changes no ratio."""
    found = spread_of_ratios([turn(1.0), turn(3.0, 3.0)], [turn(2.0), turn(6.0)])
    assert found is not None
    assert (found.low, found.median, found.high) == (0.5, 0.5, 0.5)


def test_a_turn_that_one_of_them_missed_gives_no_ratio() -> None:
    """Figures of different turns are never divided."""
    found = spread_of_ratios([turn(1.0), turn(9.0)], [turn(2.0), MISSED])
    assert found is not None
    assert found.median == 0.5
    assert spread_of_ratios([turn(1.0)], [MISSED]) is None


def test_the_fastest_is_told_among_those_that_have_figures() -> None:
    """Who did not fit cannot be the fastest."""
    outcomes = {"a": [turn(3.0), turn(1.0)], "b": [turn(1.5), turn(1.6)], "c": [MISSED]}
    assert fastest(outcomes) == "b"
    assert fastest({"c": [MISSED]}) is None


def test_a_summary_says_what_was_not_measured() -> None:
    """The reason stands in place of figures."""
    assert summarise("flower_", [MISSED]) == {"flower_not_measured": MISSED.why}


def test_a_summary_takes_peaks_of_memory_and_medians_of_the_rest() -> None:
    """A peak that one turn had is the peak of all."""
    turns = [
        Turn(
            round_s=(1.0, 2.0),
            first_round_s=first,
            node_rss_mb=node,
            more=(("bytes_up", up), ("broker_rss_mb", broker)),
        )
        for first, node, up, broker in [
            (4.0, 80.0, 10, 300.0),
            (5.0, 70.0, 30, 200.0),
            (9.0, 75.0, 20, 250.0),
        ]
    ]
    found = summarise("", turns)
    assert found["round_s"] == 1.5
    assert found["first_round_s"] == 5.0
    assert found["node_rss_mb"] == 80.0
    assert found["bytes_up"] == 20
    assert found["broker_rss_mb"] == 300.0
    assert "server_rss_mb" not in found


def test_first_rounds_are_compared_with_the_earliest_of_the_others() -> None:
    """The fastest in the rounds after it need not be the first to begin."""
    others = {"a": [turn(1.0, first=20.0)], "b": [turn(5.0, first=8.0)], "c": [MISSED]}
    assert first_round_ratio([turn(1.0, first=4.0)], others) == pytest.approx(0.5)
    assert first_round_ratio([turn(1.0)], others) is None
    assert first_round_ratio([turn(1.0, first=4.0)], {"c": [MISSED]}) is None
