"""Services as processes: logs on, the broker reached, ended by SIGTERM or Ctrl-C in order."""

import signal
from collections.abc import Callable
from functools import partial
from types import FrameType

from fedmq.hub.logins import login_of
from fedmq.hub.membership import Membership
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


def stop_on_signals(stop: Callable[[], None]) -> None:
    """End the service in order when somebody asks for it."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
