"""What streams of RabbitMQ hold, from some time ago to their end; reading changes nothing.

Synchronous, over one connection of its own. A stream says nowhere where it ends, so that is found
out: RabbitMQ sends as far as a reader's credit goes, and answers a further request on the same
channel only after that. A reader with credit left at that answer has therefore seen the end. Only
the very first message may come after it, and a stream from which none comes in EMPTY_S is empty.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic, BasicProperties

from fedmq.errors import BrokerRefused
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_dialogue import talking
from fedmq.transport.rabbitmq_faults import is_refusal, reason_of

MAX_BYTES: Final = 128 * 2**20
MAX_S: Final = 10.0
EMPTY_S: Final = 0.3
_CREDIT: Final = 1_000
_LATEST_SECOND: Final = 10**11
"""RabbitMQ 3.13 and newer give a stream's timestamps in milliseconds, older ones in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMessage:
    """A message in a stream."""

    body: bytes
    user: str
    """Who sent it, as the broker vouches; empty where nobody said."""
    type: str
    sent_at: float | None
    """Unix seconds on the sender's clock; None where it did not say."""
    headers: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one stream, the oldest first."""

    messages: tuple[StreamMessage, ...]
    is_complete: bool
    """Whether the end was reached, within the bounds of time and size."""


def read_streams(
    login: Login,
    ages: Mapping[str, str],
    *,
    max_bytes: int = MAX_BYTES,
    max_s: float = MAX_S,
) -> dict[str, Reading]:
    """Return what each stream holds that is not older than its age, such as `60s` or `7D`.

    The broker's clock counts, so that those of watchers do not matter. The bounds are for all
    streams together.

    Raises:
        BrokerUnavailable: nobody answers.
        BrokerRefused: the login is wrong, or a stream is not there, or is not for this user.
    """
    with talking(login) as connection, _in_words():
        readers = [_Reader(connection, stream, age) for stream, age in ages.items()]
        _read(connection, readers, max_bytes=max_bytes, deadline=time.monotonic() + max_s)
        # What was not handed on when a bound was hit cannot be given back to a stream.
    return {reader.stream: reader.reading() for reader in readers}


@contextmanager
def _in_words() -> Iterator[None]:
    """Say what to do where a queue has a stream's name, or where there is none."""
    try:
        yield
    except ChannelClosedByBroker as error:
        if is_refusal(error):
            raise
        raise BrokerRefused(
            "a stream of the broker cannot be read",
            why=reason_of(error),
            fix="the hub's operator: fedmq hub up, after deleting the queue if it is no stream",
        ) from error


class _Reader:
    """One stream under way: what came, and how much of it is not acknowledged."""

    def __init__(self, connection: BlockingConnection, stream: str, age: str) -> None:
        self.stream = stream
        self.size_bytes = 0
        self.has_ended = False
        self._messages: list[StreamMessage] = []
        self._num_in_hand = 0
        self._last_tag = 0
        self._connection = connection
        self._channel = connection.channel()
        self._channel.basic_qos(prefetch_count=_CREDIT)
        self._channel.basic_consume(stream, self._on_message, arguments={"x-stream-offset": age})

    def advance(self, *, may_be_empty: bool) -> None:
        """Take what the broker has, up to the credit; see whether that was the end."""
        if self._num_in_hand:
            self._channel.basic_ack(self._last_tag, multiple=True)
            self._num_in_hand = 0
        # A request without an effect: its answer comes after what the broker had to send.
        self._channel.basic_qos(prefetch_count=_CREDIT)
        self._connection.process_data_events(time_limit=0)
        has_credit = self._num_in_hand < _CREDIT
        self.has_ended = has_credit and (bool(self._messages) or may_be_empty)

    def reading(self) -> Reading:
        """Return what came."""
        return Reading(messages=tuple(self._messages), is_complete=self.has_ended)

    def _on_message(
        self,
        _channel: BlockingChannel,
        method: Basic.Deliver,
        properties: BasicProperties,
        body: bytes,
    ) -> None:
        self._last_tag = method.delivery_tag or 0
        self._num_in_hand += 1
        self.size_bytes += len(body)
        self._messages.append(
            StreamMessage(
                body=body,
                user=properties.user_id or "",
                type=properties.type or "",
                sent_at=_seconds(properties.timestamp),
                headers=properties.headers or {},
            )
        )


def _read(
    connection: BlockingConnection, readers: list[_Reader], *, max_bytes: int, deadline: float
) -> None:
    empty_at = time.monotonic() + EMPTY_S
    while under_way := [reader for reader in readers if not reader.has_ended]:
        now = time.monotonic()
        if now > deadline or sum(reader.size_bytes for reader in readers) > max_bytes:
            return
        connection.process_data_events(time_limit=max(0.0, empty_at - now))
        may_be_empty = time.monotonic() >= empty_at
        for reader in under_way:
            reader.advance(may_be_empty=may_be_empty)


def _seconds(timestamp: int | None) -> float | None:
    if not timestamp:
        return None
    return timestamp / 1_000 if timestamp > _LATEST_SECOND else float(timestamp)
