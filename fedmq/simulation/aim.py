"""Aimed crashes: one machine, killed at exactly one of its durable steps."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedmq.simulation.disk import Fate

_BEFORE: Final = frozenset({"sync", "commit"})
_AFTER: Final = frozenset({"synced", "committed"})


class Moment(StrEnum):
    """On which side of a durable step the machine is killed."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One durable step, a sync or a commit, and one side of it."""

    machine: str
    number: int
    """Of the machine's durable steps, from 1 on."""
    moment: Moment


class Aim:
    """Counts the durable steps of each machine; kills at the target, once."""

    def __init__(self, target: Target | None = None, fate: Fate | None = None) -> None:
        """The fate is of what was not synced; None: as chance will have it."""
        self.num_steps: Counter[str] = Counter()
        self.num_hits = 0
        self.fate = fate
        self._target = target

    def hits(self, machine: str, word: str) -> bool:
        """Return whether the machine is killed where it stands now."""
        if word in _BEFORE:
            self.num_steps[machine] += 1
            moment = Moment.BEFORE
        elif word in _AFTER:
            moment = Moment.AFTER
        else:
            return False
        target = self._target
        is_hit = (
            target is not None
            and not self.num_hits
            and target == Target(machine=machine, number=self.num_steps[machine], moment=moment)
        )
        self.num_hits += is_hit
        return is_hit
