"""One life of the way to RabbitMQ: a connection that publishes and one that reads.

Two connections, because a broker with an alarm stops reading from one that publishes, and
acknowledgements must go on. Whichever breaks takes the other with it. A queue that is read has a
channel of its own: RabbitMQ answers a fault by closing the channel, and only that queue is lost.

The link is ready once confirms are on, queues are declared, and every queue that is read has a
consumer or was refused one. Not thread-safe: everything happens on its loop's thread.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import pika
from pika import exceptions
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from fedmq.transport.ports import (
    Blocked,
    Confirmed,
    ConsumerLost,
    Delivered,
    Delivery,
    Nacked,
    Properties,
    Publication,
    Returned,
    TransportEvent,
)
from fedmq.transport.topology import Queue

HEARTBEAT_S: Final = 30
BLOCKED_TIMEOUT_S: Final = 24 * 3600
CONSUMER_RETRY_S: Final = 5.0
TRANSIENT_RETRY_S: Final = 0.25
_CONNECT_TIMEOUT_S: Final = 10.0
_TICKET_HEADER: Final = "fedmq-ticket"
_PERSISTENT: Final = 2
_REFUSALS: Final = (
    exceptions.ProbableAuthenticationError,
    exceptions.ProbableAccessDeniedError,
    exceptions.AuthenticationError,
)
_ACCESS_REFUSED: Final = 403
_NOT_ALLOWED: Final = 530
_INTERNAL_ERROR: Final = 541
"""What RabbitMQ says of a quorum queue that is electing its leader: true a moment later."""
_EPOCHS: Final = itertools.count(1)
"""Numbers channels over all lives, so that a delivery's tag is used on its own channel only."""


class Credentials(Protocol):
    """What a link needs to log in."""

    @property
    def host(self) -> str:
        """Name or address of the broker."""

    @property
    def port(self) -> int:
        """AMQP port."""

    @property
    def vhost(self) -> str:
        """Virtual host of the federation."""

    @property
    def user(self) -> str:
        """Login name."""

    @property
    def password(self) -> str:
        """Its password."""

    @property
    def program(self) -> str:
        """Program and version."""


class Owner(Protocol):
    """Who a link belongs to."""

    def link_ready(self) -> None:
        """Both connections stand."""

    def link_broken(self, why: str, *, refused: bool) -> None:
        """The link is dead; told once."""

    def link_gone(self, link: "Link") -> None:
        """Both connections of a dead link have let go of their sockets; told once."""

    def tell(self, event: TransportEvent) -> None:
        """Hand on an event."""


class Link:
    """A publishing and a reading connection that live and die together."""

    def __init__(self, credentials: Credentials, loop: IOLoop, owner: Owner) -> None:
        self._credentials = credentials
        self._loop = loop
        self._owner = owner
        self._connections: list[SelectConnection] = []
        self._num_gone = 0
        self._publishing: Channel | None = None
        self._declaring: Channel | None = None
        self._reading: SelectConnection | None = None
        self._consumers: dict[str, Channel] = {}
        self._channels: dict[int, Channel] = {}
        self._prefetch: dict[str, int] = {}
        self._lost: set[str] = set()
        self._declared: dict[str, Queue] = {}
        self._num_declaring = 0
        self._tickets: dict[int, int] = {}
        self._returned: set[int] = set()
        self._next_tag = 1
        self._pending: set[str] = set()
        self._early: list[TransportEvent] = []
        self._is_ready = False
        self._is_dead = False

    def open(self, declared: Sequence[Queue], prefetch: Mapping[str, int]) -> None:
        """Connect, declare, read; then the owner hears that the link is ready, or broken."""
        self._prefetch = dict(prefetch)
        self._declared = {queue.name: queue for queue in declared}
        self._pending = {"confirms", "declarations", *prefetch}
        for role, on_open in (
            ("publish", self._on_publishing_open),
            ("read", self._on_reading_open),
        ):
            self._connections.append(
                SelectConnection(
                    _parameters(self._credentials, role),
                    on_open_callback=on_open,
                    on_open_error_callback=self._on_broken,
                    on_close_callback=self._on_broken,
                    custom_ioloop=self._loop,
                )
            )

    def close(self) -> None:
        """Close both connections; the owner hears of the end as of a break."""
        self._break("closed", refused=False)

    def publish(self, publication: Publication, ticket: int) -> None:
        """Publish under the login's name; the ticket ends with the broker's word."""
        channel = self._publishing
        if channel is None or not channel.is_open or not self._is_ready:
            return
        headers: dict[str, Any] = dict(publication.properties.headers)
        if publication.also_to:
            headers["BCC"] = list(publication.also_to)
        if publication.mandatory:
            headers[_TICKET_HEADER] = str(ticket)
        properties = _to_pika(publication.properties, self._credentials.user, headers)
        self._tickets[self._next_tag] = ticket
        self._next_tag += 1
        channel.basic_publish(
            publication.exchange,
            publication.routing_key,
            publication.body,
            properties,
            mandatory=publication.mandatory,
        )

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues and their bindings; a refusal is told for the queue it concerns."""
        self._declared.update({queue.name: queue for queue in queues})
        if self._reading is not None:  # what is declared before is made when it opens
            self._make(queues)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues."""
        for name in queues:
            self._declared.pop(name, None)
            self._on_declaring_channel(partial(_delete_queue, name=name))

    def consume(self, queue: str, prefetch: int) -> None:
        """Read a queue; if it is read already, the reader is told nothing new."""
        self._prefetch[queue] = prefetch
        self._lost.discard(queue)
        if queue not in self._consumers:
            self._open_consumer(queue)

    def stop_consuming(self, queue: str) -> None:
        """Read a queue no more."""
        self._prefetch.pop(queue, None)
        channel = self._consumers.pop(queue, None)
        if channel is not None and channel.is_open:
            channel.close()

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge on the channel that delivered; on another life's, nothing."""
        channel = self._channels.get(delivery.connection)
        if channel is not None and channel.is_open:
            channel.basic_ack(delivery.tag)

    def reject(self, delivery: Delivery) -> None:
        """Reject without a second try."""
        channel = self._channels.get(delivery.connection)
        if channel is not None and channel.is_open:
            channel.basic_reject(delivery.tag, requeue=False)

    # Publishing.

    def _on_publishing_open(self, connection: SelectConnection) -> None:
        if self._is_dead:
            connection.close()
            return
        connection.add_on_connection_blocked_callback(
            lambda _connection, frame: self._tell(Blocked(blocked=True, why=frame.method.reason))
        )
        connection.add_on_connection_unblocked_callback(
            lambda _connection, _frame: self._tell(Blocked(blocked=False, why=""))
        )
        connection.channel(on_open_callback=self._on_publishing_channel)

    def _on_publishing_channel(self, channel: Channel) -> None:
        self._publishing = channel
        channel.add_on_close_callback(self._on_publishing_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._done("confirms"))

    def _on_publishing_channel_closed(self, _channel: Channel, reason: Exception) -> None:
        # A forbidden routing key or exchange closes the channel and loses what was under way on it.
        self._break(f"publishing was ended: {reason_of(reason)}", refused=is_refusal(reason))

    def _on_return(
        self, _channel: Channel, method: Basic.Return, properties: BasicProperties, _body: bytes
    ) -> None:
        ticket = int(str((properties.headers or {}).get(_TICKET_HEADER, "-1")))
        self._returned.add(ticket)
        self._tell(Returned(ticket=ticket, routing_key=method.routing_key or ""))

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
                self._tell(Confirmed(ticket=ticket) if is_positive else Nacked(ticket=ticket))

    # Declaring.

    def _on_reading_open(self, connection: SelectConnection) -> None:
        if self._is_dead:
            connection.close()
            return
        self._reading = connection
        self._declare_all()

    def _declare_all(self) -> None:
        self._make(tuple(self._declared.values()))

    def _make(self, queues: Sequence[Queue]) -> None:
        """Declare queues; no consumer is opened before the broker has answered."""
        self._num_declaring += 1

        def act(channel: Channel) -> None:
            for queue in queues:
                _declare_queue(channel, queue=queue)
            # A channel answers in order: this one is answered after every declaration.
            channel.basic_qos(prefetch_count=1, callback=lambda _frame: self._made())

        self._on_declaring_channel(act)

    def _made(self) -> None:
        self._num_declaring -= 1
        if self._num_declaring == 0:
            self._declared_all()

    def _declared_all(self) -> None:
        self._done("declarations")
        for queue in list(self._prefetch):
            if queue not in self._consumers:
                self._open_consumer(queue)

    def _on_declaring_channel(self, act: Callable[[Channel], object]) -> None:
        connection = self._reading
        if self._declaring is not None and self._declaring.is_open:
            act(self._declaring)
        elif connection is not None and connection.is_open:

            def begin(channel: Channel) -> None:
                self._declaring = channel
                channel.add_on_close_callback(self._on_declaring_channel_closed)
                act(channel)

            connection.channel(on_open_callback=begin)

    def _on_declaring_channel_closed(self, channel: Channel, reason: Exception) -> None:
        if self._declaring is channel:
            self._declaring = None
            self._num_declaring = 0
        if self._is_dead or self._reading is None or not self._reading.is_open:
            return
        if _is_transient(reason):
            self._loop.call_later(TRANSIENT_RETRY_S, self._declare_again)
            return
        self._tell(ConsumerLost(queue="", why=f"a declaration was refused: {reason_of(reason)}"))
        self._declared_all()

    def _declare_again(self) -> None:
        if not self._is_dead:
            self._declare_all()

    # Reading.

    def _open_consumer(self, queue: str) -> None:
        connection = self._reading
        if connection is None or not connection.is_open or self._num_declaring:
            return  # it is opened once the declarations are done

        def begin(channel: Channel) -> None:
            epoch = next(_EPOCHS)
            self._channels[epoch] = channel
            channel.add_on_close_callback(partial(self._on_consumer_closed, queue, epoch))
            channel.add_on_cancel_callback(partial(self._on_cancel, queue, channel))
            channel.basic_qos(prefetch_count=self._prefetch.get(queue, 1))
            channel.basic_consume(
                queue,
                partial(self._on_delivery, queue, epoch),
                consumer_tag=f"{self._credentials.user} {self._credentials.program}",
                callback=lambda _frame: self._on_registered(queue),
            )

        # Noted before it is open, so that a second call does not open a second one.
        opened = connection.channel(on_open_callback=begin)
        self._consumers[queue] = opened

    def _on_registered(self, queue: str) -> None:
        self._lost.discard(queue)
        self._done(queue)

    def _on_cancel(self, queue: str, channel: Channel, _frame: object) -> None:
        self._lose(queue, "the queue was deleted or its broker went down")
        if channel.is_open:
            channel.close()

    def _on_consumer_closed(
        self, queue: str, epoch: int, channel: Channel, reason: Exception
    ) -> None:
        self._channels.pop(epoch, None)
        is_current = self._consumers.get(queue) is channel
        if is_current:
            del self._consumers[queue]
        if is_current and _is_transient(reason):
            self._loop.call_later(TRANSIENT_RETRY_S, partial(self._retry_consumer, queue))
            return
        if is_current:
            self._lose(queue, reason_of(reason))
        self._done(queue)

    def _lose(self, queue: str, why: str) -> None:
        if self._is_dead or queue not in self._prefetch:
            return
        if self._reading is None or not self._reading.is_open:
            return  # the whole link is breaking, which is told once
        if queue not in self._lost:
            self._lost.add(queue)
            self._tell(ConsumerLost(queue=queue, why=why))
        self._loop.call_later(CONSUMER_RETRY_S, partial(self._retry_consumer, queue))

    def _retry_consumer(self, queue: str) -> None:
        if not self._is_dead and queue in self._prefetch and queue not in self._consumers:
            self._open_consumer(queue)

    def _on_delivery(
        self,
        queue: str,
        epoch: int,
        _channel: Channel,
        method: Basic.Deliver,
        properties: BasicProperties,
        body: bytes,
    ) -> None:
        delivery = Delivery(
            queue=queue,
            exchange=method.exchange or "",
            routing_key=method.routing_key or "",
            body=body,
            properties=_from_pika(properties),
            redelivered=bool(method.redelivered),
            tag=method.delivery_tag or 0,
            connection=epoch,
        )
        self._tell(Delivered(delivery=delivery))

    # Life and death.

    def _done(self, step: str) -> None:
        self._pending.discard(step)
        if self._is_ready or self._is_dead or self._pending:
            return
        self._is_ready = True
        self._owner.link_ready()
        early, self._early = self._early, []
        for event in early:
            self._owner.tell(event)

    def _tell(self, event: TransportEvent) -> None:
        if self._is_dead:
            return
        if self._is_ready:
            self._owner.tell(event)
        else:
            self._early.append(event)

    def _on_broken(self, _connection: SelectConnection, reason: BaseException) -> None:
        self._num_gone += 1
        if self._num_gone == len(self._connections):
            self._loop.call_later(0.0, lambda: self._owner.link_gone(self))
        self._break(reason_of(reason), refused=is_refusal(reason))

    def _break(self, why: str, *, refused: bool) -> None:
        if self._is_dead:
            return
        self._is_dead = True
        for connection in self._connections:
            # One that is still opening cannot be closed in pika; it closes once it is open.
            if connection.is_open:
                connection.close()
        # After the frames of the closing have left.
        self._loop.call_later(0.0, lambda: self._owner.link_broken(why, refused=refused))


def _parameters(credentials: Credentials, role: str) -> pika.ConnectionParameters:
    return pika.ConnectionParameters(
        host=credentials.host,
        port=credentials.port,
        virtual_host=credentials.vhost,
        credentials=pika.PlainCredentials(credentials.user, credentials.password),
        heartbeat=HEARTBEAT_S,
        blocked_connection_timeout=BLOCKED_TIMEOUT_S,
        connection_attempts=1,
        socket_timeout=_CONNECT_TIMEOUT_S,
        stack_timeout=2 * _CONNECT_TIMEOUT_S,
        client_properties={
            "connection_name": f"{credentials.user} {role}",
            "product": credentials.program,
        },
    )


def _declare_queue(channel: Channel, *, queue: Queue) -> None:
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for binding in queue.bindings:
        channel.queue_bind(queue.name, binding.exchange, routing_key=binding.key)


def _delete_queue(channel: Channel, *, name: str) -> None:
    channel.queue_delete(name)


def _to_pika(properties: Properties, user: str, headers: dict[str, Any]) -> BasicProperties:
    expiration = properties.expiration_ms
    return BasicProperties(
        content_type=properties.content_type,
        headers=headers or None,
        delivery_mode=_PERSISTENT if properties.persistent else 1,
        correlation_id=properties.correlation_id or None,
        expiration=None if expiration is None else str(expiration),
        message_id=properties.message_id or None,
        timestamp=properties.timestamp or None,
        type=properties.type or None,
        user_id=user,
        app_id=properties.app_id or None,
    )


def _from_pika(properties: BasicProperties) -> Properties:
    headers = {
        str(name): value
        for name, value in (properties.headers or {}).items()
        if isinstance(value, str) and name != _TICKET_HEADER
    }
    return Properties(
        type=properties.type or "",
        message_id=properties.message_id or "",
        correlation_id=properties.correlation_id or "",
        user_id=properties.user_id or "",
        app_id=properties.app_id or "",
        content_type=properties.content_type or "",
        timestamp=properties.timestamp or 0,
        expiration_ms=_milliseconds(properties.expiration),
        persistent=properties.delivery_mode == _PERSISTENT,
        headers=headers,
    )


def _milliseconds(expiration: str | None) -> int | None:
    return int(expiration) if expiration is not None and expiration.isdecimal() else None


def _is_transient(reason: BaseException) -> bool:
    return getattr(reason, "reply_code", None) == _INTERNAL_ERROR


def is_refusal(reason: BaseException) -> bool:
    """Return whether the broker said no to the user, and would again."""
    if isinstance(reason, _REFUSALS):
        return True
    causes = getattr(reason, "args", ())
    code = getattr(reason, "reply_code", None)
    return code in {_ACCESS_REFUSED, _NOT_ALLOWED} or any(
        isinstance(cause, _REFUSALS) for cause in causes
    )


def reason_of(reason: BaseException) -> str:
    """Return a short text of what pika says; the broker's own words where it gave some."""
    text = getattr(reason, "reply_text", None) or str(reason) or type(reason).__name__
    if isinstance(reason, _REFUSALS):
        text = "the broker refuses the user, its password or the vhost"
    cause = _system_error(reason)
    if cause is not None:
        text = f"nobody answers at the broker's address: {cause.strerror or type(cause).__name__}"
    return str(text)[:300]


def _system_error(reason: BaseException) -> OSError | None:
    """Return what the machine said of a connection that could not be opened, None if nothing."""
    # pika keeps the failures of its attempts inside one another, the newest one last.
    attempts = getattr(reason, "exceptions", ())
    inner = [*reason.args, *attempts[-1:], getattr(reason, "exception", None)]
    for cause in inner:
        if isinstance(cause, OSError):
            return cause
        found = _system_error(cause) if isinstance(cause, BaseException) else None
        if found is not None:
            return found
    return None
