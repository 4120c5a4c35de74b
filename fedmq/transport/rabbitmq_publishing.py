"""Publishing on one connection to RabbitMQ: every ticket ends in the broker's word.

Confirms are pipelined. RabbitMQ confirms what it has returned too; such a ticket ends with the
return. Not thread-safe: everything happens on the loop's thread.
"""

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


class Publisher:
    """The publishing half of a link."""

    def __init__(self, user: str, life: Life) -> None:
        self._user = user
        self._life = life
        self._channel: Channel | None = None
        self._tickets: dict[int, int] = {}
        """Delivery tag -> ticket."""
        self._returned: set[int] = set()
        self._next_tag = 1

    def begin(self, connection: SelectConnection) -> None:
        """Open the channel on a connection that stands; the step is done when it can publish."""
        connection.add_on_connection_blocked_callback(
            lambda _connection, frame: self._life.tell(
                Blocked(blocked=True, why=frame.method.reason)
            )
        )
        connection.add_on_connection_unblocked_callback(
            lambda _connection, _frame: self._life.tell(Blocked(blocked=False, why=""))
        )
        connection.channel(on_open_callback=self._on_channel)

    def publish(self, publication: Publication, ticket: int) -> None:
        """Publish under the login's name; the ticket ends with the broker's word."""
        channel = self._channel
        if channel is None or not channel.is_open or not self._life.is_ready:
            return
        headers: dict[str, Any] = dict(publication.properties.headers)
        if publication.also_to:
            headers["BCC"] = list(publication.also_to)
        if publication.mandatory:
            headers[TICKET_HEADER] = str(ticket)
        properties = to_pika(publication.properties, self._user, headers)
        self._tickets[self._next_tag] = ticket
        self._next_tag += 1
        channel.basic_publish(
            publication.exchange,
            publication.routing_key,
            publication.body,
            properties,
            mandatory=publication.mandatory,
        )

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._life.done(STEP))

    def _on_channel_closed(self, _channel: Channel, reason: Exception) -> None:
        # A forbidden routing key or exchange closes the channel and loses what was under way on it.
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
