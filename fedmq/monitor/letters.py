"""Dead letters, read from the stream that keeps a copy of each for some days.

Whoever looks leaves no trace there. The queue `dead`, in which they lie until somebody deals with
them, is the hub operator's.
"""

from dataclasses import dataclass
from typing import Final

from fedmq.transport import topology
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_stream import Reading, StreamMessage, read_streams

MAX_HOURS: Final = 24 * topology.WATCHED_DEAD_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that a service turned away, or that was delivered too often."""

    queue: str
    """In which it died first."""
    reason: str
    """The broker's word: rejected, delivery_limit, maxlen."""
    user: str
    type: str
    size_bytes: int
    sent_at: float | None
    """Unix seconds on its sender's clock; RabbitMQ 3 drops the time of death from a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Dead letters in the order of their deaths."""

    letters: tuple[DeadLetter, ...]
    is_complete: bool
    """Whether these are all of the time that was asked for."""


def read_dead(login: Login, *, hours: int = MAX_HOURS) -> DeadLetters:
    """Return what died in the last hours, as far as the stream goes back.

    Raises:
        TransportError: the broker does not answer, or refuses.
    """
    stream = topology.MONITOR_DEAD
    return dead_letters(read_streams(login, {stream: f"{hours}h"})[stream])


def dead_letters(reading: Reading) -> DeadLetters:
    """Return the dead letters of what was read."""
    return DeadLetters(
        letters=tuple(_dead_letter(message) for message in reading.messages),
        is_complete=reading.is_complete,
    )


def _dead_letter(message: StreamMessage) -> DeadLetter:
    return DeadLetter(
        queue=str(message.headers.get("x-first-death-queue", "")),
        reason=str(message.headers.get("x-first-death-reason", "")),
        user=message.user,
        type=message.type,
        size_bytes=len(message.body),
        sent_at=message.sent_at,
    )
