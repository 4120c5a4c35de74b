"""Services as processes: logs on, the broker reached, ended by SIGTERM or Ctrl-C in order."""

import signal
from collections.abc import Callable
from functools import partial
from types import FrameType

from fedmq.hub.credentials import Credentials
from fedmq.settings import read_settings
from fedmq.transport.machine import Machine
from fedmq.transport.ports import Sink, Transport
from fedmq.transport.rabbitmq import make_login


def make_transport(
    machine: Machine, credentials: Credentials, program: str
) -> Callable[[Sink], Transport]:
    """Return what opens the way to the broker for a sink."""
    login = make_login(
        credentials.url,
        user=credentials.user,
        password=credentials.password,
        program=program,
        heartbeat_s=read_settings().heartbeat_s,
    )
    return partial(machine.transport, login)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """End the service in order when somebody asks for it."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
