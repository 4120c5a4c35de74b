"""Asking the hub: to join, or for other keys. The exchange, the queues, and what they take.

The only place that knows their names, as `topology` is for all others.
"""

import re
from typing import Final

from fedmq.transport.declarations import Binding, Exchange, Policy, Queue

_REQUESTS: Final = "hub.joins"
_JOIN: Final = "fedmq.join"
ANSWERS_BYTES: Final = 16 * 2**20
"""Of the hub to one who joins: each has the roster in it."""
REQUEST_BYTES: Final = 64 * 1024
"""What somebody asks of the hub is a few keys."""


def join_exchange(name: str) -> str:
    """Return the name of the exchange at which somebody asks something of the hub."""
    return f"{_JOIN}.{name}"


def hub_requests(name: str) -> str:
    """Return the name of the queue in which somebody's newest request to the hub stands."""
    return f"{_REQUESTS}.{name}"


def join_answers(name: str) -> str:
    """Return the name of the queue in which the hub answers who wants to become a member."""
    return f"join.{name}"


def asking_exchange(name: str) -> Exchange:
    """Return the exchange at which somebody asks something of the hub.

    Each has one of its own, which leads to one queue whatever a message says of its way: the
    broker compares the key of a message with its sender's rights, but not the keys of its copies
    (CC, BCC).
    """
    return Exchange(name=join_exchange(name), type="fanout")


def request_queue(name: str) -> Queue:
    """Return the queue of what somebody asks of the hub.

    Each has one of its own, and in it only the newest request: whoever asks without end takes
    nothing from others, and gets no more room than who asks once.
    """
    return Queue(
        name=hub_requests(name),
        arguments={"x-queue-type": "classic"},
        bindings=(Binding(exchange=join_exchange(name), key=""),),
    )


def join_queue(name: str) -> Queue:
    """Return the queue in which the hub answers who wants to become a member.

    No exchange leads to it: only the hub's administrator may write to a queue by its name.
    """
    return Queue(name=join_answers(name), arguments={"x-queue-type": "classic"}, bindings=())


def policies() -> tuple[Policy, ...]:
    """Return the policies of these queues."""
    return (
        Policy(
            name="requests",
            pattern=rf"^{re.escape(_REQUESTS)}\.[^.]+$",
            definition={
                "max-length": 1,
                "max-length-bytes": REQUEST_BYTES,
                "overflow": "drop-head",
            },
        ),
        Policy(
            name="joins",
            pattern=r"^join\..+$",
            definition={"max-length-bytes": ANSWERS_BYTES, "overflow": "drop-head"},
        ),
    )
