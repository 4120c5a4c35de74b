"""Certificates near their end: said at start, every day by what runs for long, by who connects."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedmq.cli.console import say

if TYPE_CHECKING:
    from fedmq.clocks import Clock
    from fedmq.hub.membership import Membership

REMIND_S: Final = 86_400.0
"""So often a service says it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """That a certificate ends soon, or has ended."""

    what: str
    fix: str


def find_ending(membership: "Membership", *, now: float) -> Ending | None:
    """Return that the member's certificate ends soon; None where it does not, or there is none.

    One that cannot be read is spoken of by who connects with it.
    """
    try:
        until = membership.certified_until()
    except (OSError, ValueError):
        return None
    if until is None or not is_near(until, now=now):
        return None
    name = membership.credentials.user
    return Ending(
        what=f"the certificate of {name} {_ends(until, now=now)}; then the broker lets it in no"
        " more",
        fix=f"ask the hub's operator for: fedmq hub renew {name}",
    )


def find_broker_ending(until: float, *, now: float) -> Ending | None:
    """Return that the certificate of the hub's own broker ends soon; None where it does not."""
    if not is_near(until, now=now):
        return None
    return Ending(
        what=f"the broker's certificate {_ends(until, now=now)}; then no member connects to it",
        fix="fedmq hub down, then fedmq hub up: it starts with a new one",
    )


def is_near(until: float, *, now: float) -> bool:
    """Return whether a certificate that is good until then is spoken of."""
    from fedmq.security.certificates import DAY_S, WARNING_DAYS

    return until - now <= WARNING_DAYS * DAY_S


def say_ending(ending: Ending | None) -> None:
    """Print it as talk, if there is one."""
    if ending is not None:
        say(ending.what)
        say(f"  fix: {ending.fix}")


def say_when_it_ends(membership: "Membership") -> None:
    """Say that the member's certificate ends soon, or has ended."""
    say_ending(find_ending(membership, now=time.time()))


class Reminder:
    """Tells every day that a member's certificate ends soon, until another one is there."""

    def __init__(
        self, membership: "Membership", clock: "Clock", tell: Callable[[str, str], None]
    ) -> None:
        """The first day begins now; `tell` hears what ends and what to do."""
        self._membership = membership
        self._clock = clock
        self._tell = tell
        self._due_at = clock.steady() + REMIND_S

    def tick(self) -> None:
        """Tell it, if a day has gone by."""
        if self._clock.steady() < self._due_at:
            return
        self._due_at = self._clock.steady() + REMIND_S
        ending = find_ending(self._membership, now=self._clock.now())
        if ending is not None:
            self._tell(ending.what, ending.fix)


def _ends(until: float, *, now: float) -> str:
    day = time.strftime("%Y-%m-%d", time.localtime(until))
    return f"{'ends' if until > now else 'ended'} on {day}"
