"""Survival analysis on arrays: concordance, and time cut into intervals.

Everything is a sum over cases or over pairs, so that a federation can add it up. Arrays have shape
(n,): times in months (or any one unit), events true where the end was seen, false where the case
was censored, risks higher where the end is expected sooner.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedmq.learning.plan import Ratio

Floats = NDArray[np.float64]


def concordance(times: ArrayLike, events: ArrayLike, risks: ArrayLike) -> Ratio:
    """Return Harrell's C: concordant over comparable pairs, equal risks counting one half.

    A pair is comparable if the earlier time is an event; at equal times, if exactly one is.
    Harrell, Lee and Mark 1996, Statistics in Medicine 15:361-387.
    """
    time = np.asarray(times, dtype=np.float64)
    event = np.asarray(events, dtype=np.bool_)
    risk = np.asarray(risks, dtype=np.float64)
    concordant = comparable = 0.0
    for index in np.flatnonzero(event):
        outlives = (time > time[index]) | ((time == time[index]) & ~event)
        others = risk[outlives]
        comparable += float(others.size)
        concordant += float((others < risk[index]).sum()) + 0.5 * float(
            (others == risk[index]).sum()
        )
    return Ratio(numerator=concordant, denominator=comparable)


def interval_index(times: ArrayLike, cut_points: Sequence[float]) -> NDArray[np.int64]:
    """Return the interval of each time: 0 up to and with the first cut, k beyond k cuts."""
    cuts = np.asarray(cut_points, dtype=np.float64)
    return np.searchsorted(cuts, np.asarray(times, dtype=np.float64), side="left").astype(np.int64)


def interval_targets(
    times: ArrayLike, events: ArrayLike, cut_points: Sequence[float]
) -> tuple[Floats, Floats]:
    """Return per case and interval whether its end was seen there, and whether it was observed.

    Both have shape (n, cuts) and hold 0 and 1. The likelihood of hazards h is the product, over
    what was observed, of h where the end was seen and 1 - h elsewhere. A censored case counts as
    observed in an interval if it was followed for at least half of it: Gensheimer and Narasimhan
    2019, A scalable discrete-time survival model for neural networks, PeerJ 7:e6257.
    """
    cuts = np.asarray(cut_points, dtype=np.float64)
    time = np.asarray(times, dtype=np.float64)[:, np.newaxis]
    event = np.asarray(events, dtype=np.bool_)[:, np.newaxis]
    own = interval_index(time[:, 0], cut_points)[:, np.newaxis]
    column = np.arange(len(cuts))[np.newaxis, :]
    middles = (np.concatenate([[0.0], cuts[:-1]]) + cuts) / 2.0
    ends = event & (column == own)
    observed = np.where(event, column <= own, time >= middles)
    return ends.astype(np.float64), observed.astype(np.float64)


def risk_at(hazards: ArrayLike, cut_points: Sequence[float], horizon: float) -> Floats:
    """Return 1 - S(horizon), shape (n,), from hazards per interval, shape (n, cuts).

    The horizon is one of the cut points; survival in between is not modelled.
    """
    if horizon not in cut_points:
        raise ValueError("the horizon must be one of the cut points")
    last = tuple(cut_points).index(horizon)
    alive = 1.0 - np.asarray(hazards, dtype=np.float64)[:, : last + 1]
    return np.asarray(1.0 - np.prod(alive, axis=1))
