"""Services as processes: logs on, the broker reached, ended by SIGTERM or Ctrl-C in order."""

import signal
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

from fedmq.cli.console import say
from fedmq.hub.logins import login_of
from fedmq.hub.membership import Membership
from fedmq.security.certificates import DAY_S, WARNING_DAYS
from fedmq.settings import read_settings
from fedmq.transport.machine import Machine
from fedmq.transport.ports import Sink, Transport


def make_transport(
    machine: Machine, membership: Membership, program: str
) -> Callable[[Sink], Transport]:
    """Return what opens the way to the broker for a sink."""
    settings = read_settings()
    login = login_of(membership, settings, program)
    return partial(machine.transport, login)


def say_when_it_ends(membership: Membership) -> None:
    """Say that the member's certificate ends soon, or has ended."""
    until = membership.certified_until()
    if until is None:
        return
    days = (until - time.time()) / DAY_S
    if days > WARNING_DAYS:
        return
    day = time.strftime("%Y-%m-%d", time.localtime(until))
    name = membership.credentials.user
    verb = "ends" if days > 0 else "ended"
    say(f"the certificate of {name} {verb} on {day}; then the broker lets it in no more")
    say(f"  fix: ask the hub's operator for: fedmq hub renew {name}")


def stop_on_signals(stop: Callable[[], None]) -> None:
    """End the service in order when somebody asks for it."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
