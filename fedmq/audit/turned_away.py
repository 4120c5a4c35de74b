"""Messages that are turned away, as audit logs tell of them: gathered, with their number. Pure."""

from collections import Counter
from typing import Final

from fedmq.audit.facts import MessagesTurnedAway, plain

GATHER_S: Final = 60.0
"""So long messages that are turned away are counted, after the first of their kind was told."""


class TurnedAwayCount:
    """Messages that were turned away, gathered: a flood of them is a few entries, not a flood."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._until: dict[tuple[str, str], float] = {}

    def add(self, reason: str, sender: str, *, now: float) -> MessagesTurnedAway | None:
        """Count one; return what to tell at once, None where its kind was told a moment ago."""
        kind = (plain(reason), plain(sender))
        if now < self._until.get(kind, now):
            self._counts[kind] += 1
            return None
        self._until[kind] = now + GATHER_S
        return MessagesTurnedAway(reason=kind[0], sender=kind[1], count=1)

    def take(self, now: float) -> tuple[MessagesTurnedAway, ...]:
        """Return what was counted for long enough; it is not counted again."""
        ripe = [kind for kind, until in self._until.items() if until <= now]
        told = []
        for kind in ripe:
            del self._until[kind]
            count = self._counts.pop(kind, 0)
            if count:
                told.append(MessagesTurnedAway(reason=kind[0], sender=kind[1], count=count))
        return tuple(told)
