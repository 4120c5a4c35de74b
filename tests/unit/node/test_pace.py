"""The pace of reports: a flood is thinned out, and stays so for as long as it lasts."""

from fedmq.node.pace import BURST, PER_SECOND, Pace


def test_a_flood_is_thinned_out() -> None:
    """A burst is passed on whole, then so many each second, and after a rest a burst again."""
    pace = Pace()
    assert sum(pace.admits(1000.0) for _ in range(10 * BURST)) == BURST
    flood = [pace.admits(1000.0 + step / 1024) for step in range(1, 10 * 1024 + 1)]
    assert sum(flood) == 10 * PER_SECOND
    assert sum(pace.admits(2000.0) for _ in range(10 * BURST)) == BURST


def test_reports_of_an_honest_plan_are_passed_on() -> None:
    """A few each second, for hours."""
    pace = Pace()
    assert all(pace.admits(step / 5) for step in range(20_000))
