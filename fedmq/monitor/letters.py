"""Letters: messages looked at in a queue without taking them out, the dead ones above all."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from fedmq.hub.management import Management
from fedmq.transport import topology

MAX_DEAD: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message in a queue."""

    body: bytes
    user: str
    """Who sent it, as the broker vouches; empty where nobody said."""
    type: str
    headers: Mapping[str, Any]
    routing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that a service turned away, or that was delivered too often."""

    queue: str
    reason: str
    """The broker's word: rejected, delivery_limit, maxlen."""
    user: str
    type: str
    size_bytes: int
    at: float
    """Unix seconds of the first death."""


def peek(management: Management, vhost: str, queue: str, count: int) -> list[Letter]:
    """Return up to `count` messages of a queue, which stay in it.

    Raises:
        TransportError: the management does not answer, or refuses.
    """
    question = {"count": count, "ackmode": "ack_requeue_true", "encoding": "base64"}
    answer = management.post("queues", vhost, queue, "get", content=question)
    return [_letter(entry) for entry in cast("list[dict[str, Any]]", answer or [])]


def peek_dead(management: Management, vhost: str) -> list[DeadLetter]:
    """Return the dead letters, the oldest first."""
    letters = peek(management, vhost, topology.DEAD_QUEUE, MAX_DEAD)
    return [_dead_letter(letter) for letter in letters]


def _letter(entry: Mapping[str, Any]) -> Letter:
    properties = entry.get("properties") or {}
    return Letter(
        body=base64.b64decode(entry["payload"]),
        user=str(properties.get("user_id", "")),
        type=str(properties.get("type", "")),
        headers=properties.get("headers") or {},
        routing_key=str(entry.get("routing_key", "")),
    )


def _dead_letter(letter: Letter) -> DeadLetter:
    deaths = letter.headers.get("x-death") or [{}]
    first = deaths[-1]
    return DeadLetter(
        queue=str(first.get("queue", "")),
        reason=str(first.get("reason", "")),
        user=letter.user,
        type=letter.type,
        size_bytes=len(letter.body),
        at=float(first.get("time") or 0.0),
    )
