"""The port to a machine: where a program keeps things, and how it reaches a broker.

Commands are given one, so that the very same commands run on a machine that watches them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fedmq.transport.home import Home, LocalHome
from fedmq.transport.ports import Sink, Transport

if TYPE_CHECKING:
    from fedmq.transport.rabbitmq import Login


class Machine(Protocol):
    """What a program is given of the machine that it runs on."""

    def home(self, folder: Path) -> Home:
        """Return the home of a program in a folder."""

    def transport(self, login: "Login", sink: Sink) -> Transport:
        """Return a way to the broker; `sink` takes its events."""


class LocalMachine:
    """The machine as it is: its disk, and RabbitMQ over its network."""

    def home(self, folder: Path) -> Home:
        """Return the home of a program in a folder."""
        return LocalHome(folder)

    def transport(self, login: "Login", sink: Sink) -> Transport:
        """Return a way to RabbitMQ."""
        # The broker's library is needed by those who connect, not by those who import fedmq.
        from fedmq.transport.rabbitmq import RabbitTransport

        return RabbitTransport(login, sink)
