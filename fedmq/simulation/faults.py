"""Faults: what may go wrong, and how often; each seed has a mixture of its own."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Final


class Fault(StrEnum):
    """One kind of mishap."""

    CRASH = "crash"
    """A program is killed before it writes, sends or acknowledges something."""
    LONG_ABSENCE = "long_absence"
    """A program that was killed stays away for hours, not for seconds."""
    CUT = "cut"
    """A connection breaks when something is published, before or after the broker has it."""
    REPEAT = "repeat"
    """A message is delivered twice, and confirmed twice."""
    OVERTAKE = "overtake"
    """A message is delivered before those that stand in front of it."""
    LOSE_CHUNK = "lose_chunk"
    """A chunk of a model is lost in the broker."""
    DAMAGE_CHUNK = "damage_chunk"
    """A bit of a chunk is turned on its way."""
    FULL_DISK = "full_disk"
    """The disk of a program is full for a while."""
    SET_CLOCK = "set_clock"
    """A program's clock is set by up to ten years, forwards or backwards."""
    RESTART_BROKER = "restart_broker"
    """The broker is killed: all connections break, what it confirmed stays."""
    WIPE_BROKER = "wipe_broker"
    """The broker comes back empty."""
    TAKE_OVER = "take_over"
    """Another orchestrator takes over the store in the middle of what the first one does, which
    goes on with that as if nothing had happened."""


Faults = Mapping[Fault, float]
"""Of each chance to go wrong, the share that does; what is not named does not happen."""

NO_FAULTS: Final[Faults] = MappingProxyType({})
_USUAL: Final[Faults] = MappingProxyType(
    {
        Fault.CRASH: 0.01,
        Fault.LONG_ABSENCE: 0.3,
        Fault.CUT: 0.02,
        Fault.REPEAT: 0.05,
        Fault.OVERTAKE: 0.05,
        Fault.LOSE_CHUNK: 0.1,
        Fault.DAMAGE_CHUNK: 0.1,
        Fault.FULL_DISK: 0.002,
        Fault.SET_CLOCK: 0.02,
        Fault.RESTART_BROKER: 0.01,
        Fault.WIPE_BROKER: 0.3,
        Fault.TAKE_OVER: 0.002,
    }
)


def draw_faults(random: Random) -> Faults:
    """Return a mixture: about half of the kinds, each seldom, usual or often.

    A mixture of everything always would hide what only a few kinds together bring about.
    """
    return {
        kind: random.choice((0.0, 0.0, usual / 4, usual, min(1.0, 3 * usual)))
        for kind, usual in _USUAL.items()
    }


class Misfortune:
    """Decides at each chance whether something goes wrong; after `limit` mishaps nothing does."""

    def __init__(self, faults: Faults, random: Random, *, limit: int) -> None:
        self.counts: Counter[Fault] = Counter()
        """How often each kind has happened."""
        self.random = random
        self._faults = faults
        self._num_left = limit

    def happens(self, kind: Fault) -> bool:
        """Return whether it happens now."""
        rate = self._faults.get(kind, 0.0)
        if not rate or not self._num_left or self.random.random() >= rate:
            return False
        self._num_left -= 1
        self.counts[kind] += 1
        return True
