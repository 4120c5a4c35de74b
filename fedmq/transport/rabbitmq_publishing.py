"""Publishing on one connection to RabbitMQ: every ticket ends in the broker's word.

Confirms are pipelined. RabbitMQ confirms what it has returned too; such a ticket ends with the
return. Not thread-safe: everything happens on the loop's thread.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Final

from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from fedmq.transport.ports import Blocked, Confirmed, Nacked, Publication, Returned
from fedmq.transport.rabbitmq_faults import is_refusal, reason_of
from fedmq.transport.rabbitmq_life import Life
from fedmq.transport.rabbitmq_properties import TICKET_HEADER, to_pika

STEP: Final = "confirms"
"""What a link's beginning waits for here."""
RENEWAL_S: Final = 5.0


class Publisher:
    """The publishing half of a link.

    In a cluster, a channel may say no for ever: one of RabbitMQ 3.10 that first publishes to a
    quorum queue while that is electing a leader asks the dead one each time, and refuses until that
    node is back. So a refusal is answered by a new channel, one at a time and not often, since a
    queue that is full says no to every channel.
    """

    def __init__(self, user: str, life: Life) -> None:
        self._user = user
        self._life = life
        self._connection: SelectConnection | None = None
        self._lane: _Lane | None = None
        self._is_renewing = False
        self._renewed_at = -math.inf

    def begin(self, connection: SelectConnection) -> None:
        """Open the channel on a connection that stands; the step is done when it can publish."""
        self._connection = connection
        connection.add_on_connection_blocked_callback(
            lambda _connection, frame: self._life.tell(
                Blocked(blocked=True, why=frame.method.reason)
            )
        )
        connection.add_on_connection_unblocked_callback(
            lambda _connection, _frame: self._life.tell(Blocked(blocked=False, why=""))
        )
        self._open()

    def publish(self, publication: Publication, ticket: int) -> None:
        """Publish under the login's name; the ticket ends with the broker's word."""
        if self._lane is None or not self._life.is_ready:
            return
        headers: dict[str, Any] = dict(publication.properties.headers)
        if publication.also_to:
            headers["BCC"] = list(publication.also_to)
        if publication.mandatory:
            headers[TICKET_HEADER] = str(ticket)
        properties = to_pika(publication.properties, self._user, headers)
        self._lane.publish(publication, ticket, properties)

    def _open(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._is_renewing = True
            _Lane(self._life, self._on_ready, self._renew).open(self._connection)

    def _on_ready(self, lane: "_Lane") -> None:
        earlier, self._lane = self._lane, lane
        self._is_renewing = False
        if earlier is not None:
            earlier.retire()
        self._life.done(STEP)

    def _renew(self) -> None:
        now = time.monotonic()
        if not self._is_renewing and now - self._renewed_at >= RENEWAL_S:
            self._renewed_at = now
            self._open()


class _Lane:
    """One channel with its tickets; retired, it closes once each of them has had its end."""

    def __init__(
        self, life: Life, on_ready: Callable[["_Lane"], None], on_nack: Callable[[], None]
    ) -> None:
        self._life = life
        self._on_ready = on_ready
        self._on_nack = on_nack
        self._channel: Channel | None = None
        self._tickets: dict[int, int] = {}
        """Delivery tag -> ticket."""
        self._returned: set[int] = set()
        self._next_tag = 1
        self._is_retired = False

    def open(self, connection: SelectConnection) -> None:
        """Open the channel; the owner hears when confirms are on."""
        connection.channel(on_open_callback=self._on_channel)

    def publish(self, publication: Publication, ticket: int, properties: BasicProperties) -> None:
        """Publish, if the channel still stands."""
        channel = self._channel
        if channel is None or not channel.is_open:
            return
        self._tickets[self._next_tag] = ticket
        self._next_tag += 1
        channel.basic_publish(
            publication.exchange,
            publication.routing_key,
            publication.body,
            properties,
            mandatory=publication.mandatory,
        )

    def retire(self) -> None:
        """Take nothing more."""
        self._is_retired = True
        self._close_if_done()

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._on_ready(self))

    def _on_channel_closed(self, _channel: Channel, reason: Exception) -> None:
        # A forbidden routing key or exchange closes the channel and loses what was under way on it.
        if self._tickets or not self._is_retired:
            self._life.end(f"publishing was ended: {reason_of(reason)}", refused=is_refusal(reason))

    def _on_return(
        self, _channel: Channel, method: Basic.Return, properties: BasicProperties, _body: bytes
    ) -> None:
        ticket = int(str((properties.headers or {}).get(TICKET_HEADER, "-1")))
        self._returned.add(ticket)
        self._life.tell(Returned(ticket=ticket, routing_key=method.routing_key or ""))

    def _on_confirm(self, frame: Any) -> None:  # noqa: ANN401 - pika's frames are untyped
        method = frame.method
        if method.multiple:
            tags = [tag for tag in self._tickets if tag <= method.delivery_tag]
        else:
            tags = [method.delivery_tag]
        is_positive = isinstance(method, Basic.Ack)
        for tag in tags:
            ticket = self._tickets.pop(tag, None)
            if ticket is None:
                continue
            if ticket in self._returned:
                # RabbitMQ confirms what it returned; the ticket has had its end.
                self._returned.discard(ticket)
            else:
                self._life.tell(Confirmed(ticket=ticket) if is_positive else Nacked(ticket=ticket))
        if not is_positive:
            self._on_nack()
        self._close_if_done()

    def _close_if_done(self) -> None:
        channel = self._channel
        if self._is_retired and not self._tickets and channel is not None and channel.is_open:
            channel.close()
