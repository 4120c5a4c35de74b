"""Members of a hub as programs that are not fedmq see them: a login, a bare connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
from pika.adapters.blocking_connection import BlockingConnection

from fedmq.hub.local import enrol_here
from fedmq.hub.membership import Membership, read_membership
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_dialogue import parameters
from fedmq.types import Role

PROGRAM = "fedmq test"


def enrolled(hub: Path, name: str, role: Role) -> Membership:
    """Return a member of a hub, whose credentials and keys lie in the hub's own folder."""
    path = hub / "credentials" / f"{name}.toml"
    enrol_here(hub, name, role, path)
    return read_membership(path)


def login_at(path: Path) -> Login:
    """Return the login that a file of credentials makes."""
    return read_membership(path).login(PROGRAM)


def connection(login: Login) -> BlockingConnection:
    """Return a connection of pika's own."""
    return pika.BlockingConnection(parameters(login, login.addresses[0]))


@contextmanager
def connected(login: Login) -> Iterator[BlockingConnection]:
    """Yield a connection of pika's own, and close it."""
    made = connection(login)
    try:
        yield made
    finally:
        if made.is_open:
            made.close()
