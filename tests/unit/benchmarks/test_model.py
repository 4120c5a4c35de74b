"""The cost of a round, fitted to numbers whose answer is known."""

import json
from pathlib import Path

import pytest

from benchmarks import on_paper
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


def test_lines_of_one_and_of_many_federations_are_read_and_the_newest_counts() -> None:
    """As `scale` keeps them."""
    many = {"mb": 1, "rss_mb_100": 1.0, "round_s_100": 2.0, "orchestrator_cpu_s_100": 0.6}
    many |= {"rss_mb_300": 1.0, "round_s_300": 7.0, "orchestrator_cpu_s_300": 2.0}
    one = {"mb": 1, "nodes": 300, "round_s": 5.0, "orchestrator_cpu_s": 1.8}
    assert on_paper.points_of([json.dumps(many), json.dumps(one)]) == (
        Point(num_nodes=100, mb=1, round_s=2.0, cpu_s=0.6),
        Point(num_nodes=300, mb=1, round_s=5.0, cpu_s=1.8),
    )


def test_one_size_is_not_enough() -> None:
    """A line through one point is none."""
    line = {"mb": 1, "nodes": 300, "round_s": 5.0, "orchestrator_cpu_s": 1.8}
    with pytest.raises(ValueError, match="nothing to fit"):
        on_paper.points_of([json.dumps(line)])


def test_the_page_says_what_the_kept_lines_give() -> None:
    """docs/scale.md is not typed: after another measurement it is made anew."""
    root = Path(__file__).parents[3]
    lines = (root / "benchmarks" / "results" / "scale.jsonl").read_text().splitlines()
    points = on_paper.points_of(lines)
    found = on_paper.words(points, fit(points))
    assert found in (root / "docs" / "scale.md").read_text()
