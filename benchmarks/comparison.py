"""What contenders did in turns, and ratios of neighbours in time; pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Figures = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What everybody is given to do."""

    num_nodes: int
    mb: int
    """Size of the model in megabytes of 10^6 bytes."""
    num_rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one contender did in one turn."""

    round_s: tuple[float, ...]
    """Seconds of each round after the first, at least one."""
    first_round_s: float | None = None
    """From the start of its processes to the end of round 1; None where it has no start."""
    server_rss_mb: float | None = None
    """The most memory of what stands in the middle."""
    node_rss_mb: float | None = None
    """The most memory of one node with all its processes."""
    more: tuple[tuple[str, float], ...] = ()
    """Further figures by name, each of its own unit; what ends in `_mb` is a peak."""
    note: str = ""
    """What is to be known beside the figures; empty: nothing."""

    @property
    def median_s(self) -> float:
        """Median of the rounds after the first."""
        return statistics.median(self.round_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A turn without figures."""

    why: str
    is_final: bool = False
    """Whether another turn would end the same."""


Outcome = Turn | Missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Several figures: the median and the quartiles around it."""

    median: float
    low: float
    high: float

    def figures(self, name: str) -> Figures:
        """Return the three under names."""
        return {name: self.median, f"{name}_low": self.low, f"{name}_high": self.high}


def spread(values: Sequence[float], digits: int = 3) -> Spread:
    """Return the spread of at least one value."""
    known = sorted(values)
    quarter = len(known) // 4
    return Spread(
        median=round(statistics.median(known), digits),
        low=round(known[quarter], digits),
        high=round(known[-1 - quarter], digits),
    )


def spread_of_ratios(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> Spread | None:
    """Return the ratios of the turns in which both have figures; None where there is none."""
    ratios = [
        one.median_s / other.median_s
        for one, other in zip(ours, theirs, strict=True)
        if isinstance(one, Turn) and isinstance(other, Turn)
    ]
    return spread(ratios) if ratios else None


def fastest(outcomes: Mapping[str, Sequence[Outcome]]) -> str | None:
    """Return who has the least median of its turns; None where nobody has figures."""
    medians = {
        name: statistics.median(one.median_s for one in measured)
        for name, all_of_it in outcomes.items()
        if (measured := turns_of(all_of_it))
    }
    return min(medians, key=lambda name: medians[name], default=None)


def turns_of(outcomes: Sequence[Outcome]) -> list[Turn]:
    """Return those with figures."""
    return [one for one in outcomes if isinstance(one, Turn)]


def summarise(name: str, outcomes: Sequence[Outcome]) -> Figures:
    """Return what one contender did over all turns; `name` stands before each figure.

    Seconds are of all rounds together, memory is the most of any turn, the rest medians.
    """
    measured = turns_of(outcomes)
    missed = [one.why for one in outcomes if isinstance(one, Missed)]
    figures: Figures = {f"{name}not_measured": missed[-1]} if missed else {}
    if not measured:
        return figures
    seconds = [second for one in measured for second in one.round_s]
    figures |= spread(seconds, 4).figures(f"{name}round_s")
    starts = [one.first_round_s for one in measured if one.first_round_s is not None]
    if starts:
        figures[f"{name}first_round_s"] = round(statistics.median(starts), 2)
    for part in ("server", "node"):
        peaks = [peak for one in measured if (peak := getattr(one, f"{part}_rss_mb")) is not None]
        if peaks:
            figures[f"{name}{part}_rss_mb"] = max(peaks)
    for key, _ in measured[-1].more:
        values = [dict(one.more)[key] for one in measured]
        middle = max(values) if key.endswith("_mb") else statistics.median(values)
        figures[f"{name}{key}"] = round(middle, 5)
    notes = [one.note for one in measured if one.note]
    if notes:
        figures[f"{name}note"] = notes[-1]
    return figures


def first_round_ratio(
    ours: Sequence[Outcome], theirs: Mapping[str, Sequence[Outcome]]
) -> float | None:
    """Return our first round from a cold start over that of the peer with the fastest one."""
    own = _first_round_s(ours)
    others = [one for outcomes in theirs.values() if (one := _first_round_s(outcomes)) is not None]
    return round(own / min(others), 3) if own is not None and others else None


def _first_round_s(outcomes: Sequence[Outcome]) -> float | None:
    starts = [one.first_round_s for one in turns_of(outcomes) if one.first_round_s is not None]
    return statistics.median(starts) if starts else None
