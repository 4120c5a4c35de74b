"""The ways in which fedmq's messages can travel, and a federation that goes one of them.

Only the first is for use. The others are for measuring what it costs.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import federation
from fedmq import __version__
from fedmq.hub import lifecycle
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.membership import read_membership
from fedmq.researcher.client import Client
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport.home import LocalHome
from fedmq.transport.rabbitmq import RabbitTransport
from tests.support.broker import ADMIN, admin_definitions

_UNPROTECTED: Final = (sys.executable, str(Path(__file__).with_name("unprotected.py")))


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways in which messages travel."""

    name: str
    has_tls: bool
    has_keys: bool


PROTECTED: Final = Way("tls_and_keys", has_tls=True, has_keys=True)
SIGNED: Final = Way("keys", has_tls=False, has_keys=True)
PLAIN: Final = Way("neither", has_tls=False, has_keys=False)
WAYS: Final = (PROTECTED, SIGNED, PLAIN)


@contextmanager
def running(
    folder: Path, way: Way, num_nodes: int, work: federation.Work
) -> Iterator[federation.Running]:
    """Give a federation that goes this way while it runs; end all of it afterwards."""
    command = federation.FEDMQ if way.has_keys else _UNPROTECTED
    with ExitStack() as stack:
        if not way.has_tls:
            stack.enter_context(open_broker(folder))
        found = stack.enter_context(federation.running(folder, work, num_nodes, command=command))
        broker = PrivateBroker(folder / federation.BROKER).running()
        if not way.has_tls and broker is not None:
            found = replace(found, pids={**found.pids, federation.BROKER: broker.broker.pid})
        yield found


@contextmanager
def open_broker(folder: Path) -> Iterator[None]:
    """Let the folder's hub use a broker that speaks no TLS, on this machine alone."""
    private, password = PrivateBroker(folder / federation.BROKER), os.urandom(16).hex()
    ports = private.ports()
    private.definitions.write_text(admin_definitions(password))
    try:
        ports = private.start().ports
        lifecycle.external(
            folder / "hub",
            amqp_url=f"amqp://127.0.0.1:{ports.amqp}/bench",
            admin_url=f"http://{ADMIN}:{password}@127.0.0.1:{ports.management}",
        )
        yield
    finally:
        private.stop()


def make_client(folder: Path, way: Way) -> Client:
    """Return the researcher's client of a federation in this folder."""
    credentials = folder / "credentials.toml"
    if way.has_keys:
        return Client.from_credentials(credentials)
    membership = read_membership(credentials)
    return Client(
        researcher=membership.credentials.user,
        home=LocalHome(folder / "files"),
        make_transport=partial(RabbitTransport, membership.login(f"fedmq {__version__}")),
        wire=PlainWire(),
    )
