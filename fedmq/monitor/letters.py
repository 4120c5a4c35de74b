"""Letters: messages looked at in a queue without taking them out, the dead ones above all.

RabbitMQ has no look that leaves no trace: a message is handed over and given back. It keeps its
place in the queue (measured on 3.10.8, also where only the first few are looked at), is marked
`redelivered` from then on, is out of others' sight for a moment, and a quorum queue counts the look
as a delivery (`x-delivery-count`).
Where the queue has a delivery limit, which is 20 by default from RabbitMQ 4.0 on, enough looks
would therefore destroy the message; `peek_dead` does not look then.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from fedmq.errors import TransportError
from fedmq.hub.management import Management
from fedmq.transport import topology

MAX_DEAD: Final = 1_000
MIN_LIMIT: Final = 10_000
"""Of deliveries: a queue with less may lose messages to those who look at them every minute."""
_LIMITED_SINCE: Final = 4
"""Major version of RabbitMQ in which quorum queues got a delivery limit by default."""
_DEFAULT_LIMIT: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message in a queue."""

    body: bytes
    size_bytes: int
    """Of the whole body, where `body` was cut."""
    user: str
    """Who sent it, as the broker vouches; empty where nobody said."""
    type: str
    headers: Mapping[str, Any]


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


def peek(
    management: Management, vhost: str, queue: str, count: int, *, max_bytes: int | None = None
) -> list[Letter]:
    """Return up to `count` messages of a queue, which stay in it, marked as redelivered.

    `max_bytes` cuts the bodies.

    Raises:
        TransportError: the management does not answer, or refuses.
    """
    question: dict[str, object] = {
        "count": count,
        "ackmode": "ack_requeue_true",
        "encoding": "base64",
    }
    if max_bytes is not None:
        question["truncate"] = max_bytes
    answer = management.post("queues", vhost, queue, "get", content=question)
    return [_letter(entry) for entry in cast("list[dict[str, Any]]", answer or [])]


def peek_dead(management: Management, vhost: str) -> list[DeadLetter]:
    """Return the dead letters, the oldest first, up to MAX_DEAD of them.

    Raises:
        TransportError: the management does not answer, or refuses; or looking does harm here.
    """
    queue = cast("dict[str, Any]", management.get("queues", vhost, topology.DEAD_QUEUE))
    limit = _delivery_limit(management, queue)
    if limit is not None and limit < MIN_LIMIT:
        if not queue.get("messages"):
            return []
        raise TransportError(
            "the dead letters cannot be looked at without harm",
            why=f"the broker would throw each of them away after {limit} looks",
            fix="the hub's operator gives the policy of the queue `dead` a delivery-limit of at "
            f"least {MIN_LIMIT}",
        )
    letters = peek(management, vhost, topology.DEAD_QUEUE, MAX_DEAD, max_bytes=1)
    return [_dead_letter(letter) for letter in letters]


def _delivery_limit(management: Management, queue: Mapping[str, Any]) -> int | None:
    """Return after how many deliveries the broker throws a message of a queue away."""
    of_policy = queue.get("effective_policy_definition") or {}
    limits = [
        limit
        for limit in (
            (queue.get("arguments") or {}).get("x-delivery-limit"),
            # An empty definition is a list in the management's JSON.
            of_policy.get("delivery-limit") if isinstance(of_policy, dict) else None,
        )
        if limit is not None
    ]
    if not limits:
        overview = cast("dict[str, Any]", management.get("overview"))
        major = int(str(overview.get("rabbitmq_version", "0")).partition(".")[0])
        return _DEFAULT_LIMIT if major >= _LIMITED_SINCE else None
    bounded = [limit for limit in limits if limit >= 0]  # -1 is none
    return min(bounded) if bounded else None


def _letter(entry: Mapping[str, Any]) -> Letter:
    # Without any property the management says [] where it says {...} otherwise.
    properties = entry.get("properties") or {}
    return Letter(
        body=base64.b64decode(entry["payload"]),
        size_bytes=int(entry["payload_bytes"]),
        user=str(properties.get("user_id", "")),
        type=str(properties.get("type", "")),
        headers=properties.get("headers") or {},
    )


def _dead_letter(letter: Letter) -> DeadLetter:
    # The newest death comes first; one that somebody else put here has none.
    first = (letter.headers.get("x-death") or [{}])[-1]
    return DeadLetter(
        queue=str(first.get("queue", "")),
        reason=str(first.get("reason", "")),
        user=letter.user,
        type=letter.type,
        size_bytes=letter.size_bytes,
        at=float(first.get("time") or 0.0),
    )
