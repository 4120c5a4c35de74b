"""The benchmark of loaders: ratios of the same turn, against the best peer of each."""

import pytest

from benchmarks.loaders import PEERS, Ran, _compare, _each


def ran(first_s: float, patch_ms: float | None, peak_mb: float = 100.0) -> Ran:
    """Return what a tool did."""
    return Ran(first_s=first_s, patch_ms=patch_ms, peak_mb=peak_mb)


def test_ratios_are_of_the_same_turn_and_of_its_best_peer() -> None:
    """A turn in which the machine was slow is slow for all; memory is the most of any turn."""
    peers = {peer: [ran(9.0, 90.0), ran(90.0, 900.0)] for peer in PEERS}
    peers["plain"] = [ran(4.0, 4000.0), ran(40.0, 40000.0)]
    peers["monai_cache"] = [ran(6.0, 30.0), ran(60.0, 300.0)]
    ours = [ran(2.0, 3.0, 500.0), ran(20.0, 30.0, 700.0)]
    figures = _compare({"limit": [ran(1.0, None), ran(10.0, None)], "fedmq": ours, **peers})
    assert figures["first_epoch_over_limit"] == pytest.approx(2.0)
    assert figures["first_epoch_over_best_peer"] == pytest.approx(0.5)
    assert figures["patch_speedup_over_best_peer"] == pytest.approx(10.0)
    assert figures["patch_speedup_over_best_peer_low"] == pytest.approx(10.0)
    assert figures["peak_rss_mb"] == 700


def test_who_has_no_later_epochs_has_no_figure_of_them() -> None:
    """As the limit, which keeps nothing."""
    figures = _each({"limit": [ran(1.0, None), ran(3.0, None)], "fedmq": [ran(2.0, 3.0)]})
    assert figures["limit_first_s"] == 2.0
    assert "limit_patch_ms" not in figures
    assert figures["fedmq_patch_ms"] == 3.0
