"""The lease: when a program may take over the experiments of one that leads them. Pure.

Who leads gives a sign again and again. A sign that stays the same for long says that its program
died, sleeps, or is cut off from the folder. How long is measured by the steady clock of who waits,
from when it saw the sign first: no two clocks are compared. Taken over too early, nothing is lost
but time: the store itself knows who leads (`leadership`).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fedmq.messages.fields import Value

LEASE_S: Final = 15.0
"""So long a sign may stay the same."""
RENEW_S: Final = 1.0
"""So often a program that leads or stands by gives its sign."""


class Sign(Value):
    """What a program says of itself in the folder of a store."""

    program: str
    """Its name among all programs that there ever were."""
    words: str
    """Its name for people."""
    machine: str
    """Of this start of its machine: locks of another one say nothing here."""
    number: int
    """Of the sign."""
    at: float
    """Unix seconds, for people."""
    has_lock: bool = False
    """Whether it has the lock of the folder, which ends with it."""
    has_ended: bool = False
    """Whether it ended by itself."""


@dataclass(frozen=True, slots=True)
class Watched:
    """The newest sign of a program, as somebody who watches has seen it."""

    sign: Sign | None
    since: float
    """When it was seen first, by the steady clock of who watches."""
    num_news: int = 0
    """So often a new one was seen since the first."""

    def seen(self, sign: Sign | None, *, now: float) -> "Watched":
        """Return what is known once a sign was looked at."""
        return self if sign == self.sign else Watched(sign, now, self.num_news + 1)

    def is_fresh(self, *, now: float, lease_s: float = LEASE_S) -> bool:
        """Return whether its program may be alive."""
        return self.sign is not None and not self.sign.has_ended and now < self.since + lease_s


class Verdict(StrEnum):
    """What somebody who would lead may do."""

    LEAD = "lead"
    WAIT = "wait"
    """It cannot be said yet."""
    LED = "led"
    """Another one leads, and lives."""


def decide(
    watched: Watched, *, has_lock: bool, machine: str, now: float, lease_s: float = LEASE_S
) -> Verdict:
    """Return whether a program may lead, by the newest sign of who leads.

    `has_lock`: it has the folder's lock; `machine`: where it runs.
    """
    sign = watched.sign
    if sign is None or sign.has_ended:
        # Who has the lock and has given no sign yet is about to.
        return Verdict.LEAD if has_lock else Verdict.WAIT
    if has_lock and sign.has_lock and sign.machine == machine:
        return Verdict.LEAD  # the kernel took the lock from it: it is dead
    if not watched.is_fresh(now=now, lease_s=lease_s):
        return Verdict.LEAD
    return Verdict.LED if watched.num_news else Verdict.WAIT
