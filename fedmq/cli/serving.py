"""Services as processes: logs on, the broker reached, ended by SIGTERM or Ctrl-C in order."""

import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from fedmq.hub.credentials import Credentials, read_credentials
from fedmq.logs import configure
from fedmq.transport.loop import Loop
from fedmq.transport.ports import Sink, Transport, TransportEvent
from fedmq.transport.rabbitmq import RabbitTransport, make_login


def make_transport(credentials: Credentials, program: str) -> Callable[[Sink], Transport]:
    """Return what opens the way to the broker for a sink."""
    login = make_login(
        credentials.url, user=credentials.user, password=credentials.password, program=program
    )
    return lambda sink: RabbitTransport(login, sink)


def credentials_of(own: Path | None, default: Path) -> Credentials:
    """Return the credentials in the file that was named, or in the one where the hub puts them.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    return read_credentials(own or default)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """End the service in order when somebody asks for it."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


__all__ = [
    "Loop",
    "TransportEvent",
    "configure",
    "credentials_of",
    "make_transport",
    "stop_on_signals",
]
