"""The cost of a round, fitted to numbers whose answer is known."""

import pytest

from benchmarks.model import BEAT_EVERY_S, BEAT_S, Point, fit


def test_the_fit_finds_what_the_numbers_were_made_of() -> None:
    """3 ms a node, 4 ms a node and MB, and signs of life."""
    points = [
        Point(
            num_nodes=n,
            mb=m,
            round_s=10.0,
            cpu_s=n * (0.003 + 0.004 * m + BEAT_S * 10 / BEAT_EVERY_S),
        )
        for n, m in ((100, 1), (300, 1), (1000, 1), (300, 4))
    ]
    cost = fit(points)
    assert (cost.node_s, cost.node_mb_s) == pytest.approx((0.003, 0.004))
    assert cost.residual_s == pytest.approx(0.0, abs=1e-9)
    assert cost.predict(5_000, 1) == pytest.approx(35.0 / 0.72)
    assert cost.predict(20_000, 1) is None
