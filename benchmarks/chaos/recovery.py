"""Recoveries: who was killed when, doing what, and when it was back at work."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.chaos.phases import Phase


class Lost(Exception):  # noqa: N818 - it is the federation's end
    """The federation did not come back, or came to other models."""


class Recoverable(Protocol):
    """Who comes back."""

    @property
    def kind(self) -> str:
        """What it is."""

    def progress_since(self, at: float) -> float | None:
        """Return when it was back at work after a moment, None while it is not."""


@dataclass(slots=True, kw_only=True)
class Fall:
    """One kill, and its end."""

    who: Recoverable
    phase: Phase
    at: float
    gone_at: float
    """From here on a step is one of the next life."""
    recovery_s: float | None = None


class Falls:
    """All kills of a run."""

    def __init__(self) -> None:
        self.all: list[Fall] = []

    def __len__(self) -> int:
        return len(self.all)

    def look(self) -> None:
        """Note who is back."""
        for fall in self.all:
            if fall.recovery_s is None:
                back_at = fall.who.progress_since(fall.gone_at)
                if back_at is not None:
                    fall.recovery_s = back_at - fall.at

    @property
    def is_open(self) -> bool:
        """Whether somebody is not back yet."""
        return any(fall.recovery_s is None for fall in self.all)

    @property
    def num_recovered(self) -> int:
        """After how many kills the program came back."""
        return sum(fall.recovery_s is not None for fall in self.all)

    def figures(self) -> dict[str, object]:
        """Return the seconds from a kill to the next progress, and what the kills hit."""
        by_kind: dict[str, list[float]] = defaultdict(list)
        for fall in self.all:
            if fall.recovery_s is not None:
                by_kind[fall.who.kind].append(fall.recovery_s)
        times = [one for some in by_kind.values() for one in some]
        hit = Counter(f"{fall.who.kind}_{fall.phase}" for fall in self.all)
        return {
            **_summary("recovery_s", times),
            **{
                name: value
                for kind in sorted(by_kind)
                for name, value in _summary(f"{kind}_recovery_s", by_kind[kind]).items()
            },
            **{f"hit_{name}": count for name, count in sorted(hit.items())},
        }


def _summary(name: str, times: Sequence[float]) -> dict[str, float]:
    if not times:
        return {}
    ordered = sorted(times)
    return {
        f"{name}_p50": round(statistics.median(ordered), 2),
        f"{name}_p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
        f"{name}_max": round(ordered[-1], 2),
    }
