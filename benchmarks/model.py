"""What a round costs an orchestrator, fitted to lines of `scale`; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

BEAT_S: Final = 0.28e-3
"""What a sign of life costs the orchestrator: measured alone, benchmarks/RESULTS.md."""
BEAT_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one size was measured to take."""

    num_nodes: int
    mb: int
    round_s: float
    """By the clock on the wall: so long signs of life came."""
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """cpu_s = node_s * nodes + node_mb_s * nodes * MB + signs of life."""

    node_s: float
    node_mb_s: float
    residual_s: float
    """The largest one."""

    def predict(self, num_nodes: float, mb: float) -> float | None:
        """Return seconds of an orchestrator that does nothing else; None: it never ends."""
        left = 1.0 - BEAT_S * num_nodes / BEAT_EVERY_S
        return num_nodes * (self.node_s + self.node_mb_s * mb) / left if left > 0 else None


def fit(points: Sequence[Point]) -> Cost:
    """Return the cost by least squares, signs of life taken out before."""
    rows = np.array([(one.num_nodes, one.num_nodes * one.mb) for one in points], dtype=np.float64)
    beats = [BEAT_S * one.num_nodes * one.round_s / BEAT_EVERY_S for one in points]
    seconds = np.array([one.cpu_s for one in points]) - np.array(beats)
    (node_s, node_mb_s), *_ = np.linalg.lstsq(rows, seconds, rcond=None)
    residual = np.abs(rows @ np.array([node_s, node_mb_s]) - seconds).max()
    return Cost(node_s=float(node_s), node_mb_s=float(node_mb_s), residual_s=float(residual))
