"""One life of the way to RabbitMQ: a connection that publishes and one that reads.

Two connections, because a broker with an alarm stops reading from one that publishes, and
acknowledgements must go on. Whichever breaks takes the other with it.

The link is ready once confirms are on, queues are declared, and every queue that is read has a
consumer or was refused one. Not thread-safe: everything happens on its loop's thread.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import pika
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.credentials import ExternalCredentials

from fedmq.errors import FedmqError
from fedmq.transport import rabbitmq_publishing
from fedmq.transport.address import Address
from fedmq.transport.declarations import Queue
from fedmq.transport.look import find_obstacle
from fedmq.transport.ports import Delivery, Publication, TransportEvent
from fedmq.transport.proxy import Proxy
from fedmq.transport.rabbitmq_connection import connection_class
from fedmq.transport.rabbitmq_declaring import Declarer
from fedmq.transport.rabbitmq_faults import is_of_tls, is_refusal, reason_of
from fedmq.transport.rabbitmq_publishing import Publisher
from fedmq.transport.rabbitmq_reading import Reader
from fedmq.transport.rabbitmq_tls import Tls
from fedmq.transport.rabbitmq_tunnel import Tunnel

HEARTBEAT_S: Final = 30
BLOCKED_TIMEOUT_S: Final = 24 * 3600
_CONNECT_TIMEOUT_S: Final = 10.0
_DECLARATIONS: Final = "declarations"


class Credentials(Protocol):
    """What a link needs to log in."""

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
    def tls(self) -> Tls | None:
        """Whom to believe and what to show; None on this machine alone."""

    @property
    def proxy(self) -> Proxy | None:
        """The proxy that leads to the broker; None where the way is direct."""

    @property
    def program(self) -> str:
        """Program and version."""

    @property
    def heartbeat_s(self) -> int:
        """How long either side waits for a sign of life of the other."""


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

    def __init__(
        self,
        credentials: Credentials,
        address: Address,
        loop: IOLoop,
        owner: Owner,
        *,
        declared: Sequence[Queue],
        prefetch: Mapping[str, int],
    ) -> None:
        self.is_ready = False
        self.is_dead = False
        self._credentials = credentials
        self._address = address
        self._loop = loop
        self._owner = owner
        self._connections: list[SelectConnection] = []
        self._num_gone = 0
        self._is_looking = False
        self._pending = {rabbitmq_publishing.STEP, _DECLARATIONS, *prefetch}
        self._early: list[TransportEvent] = []
        self._held: list[tuple[Publication, int]] = []
        self._publisher = Publisher(credentials.user, self)
        self._declarer = Declarer(loop, self, self._on_made, declared)
        self._reader = Reader(
            loop=loop,
            life=self,
            consumer_tag=f"{credentials.user} {credentials.program}",
            prefetch=prefetch,
            may_open=lambda: not self._declarer.is_busy,
        )

    def open(self) -> None:
        """Connect, declare, read; then the owner hears that the link is ready, or broken."""
        proxy = self._credentials.proxy
        io = self._loop if proxy is None else Tunnel(self._loop, proxy)
        for role, on_open in (
            ("publish", self._on_publishing_open),
            ("read", self._on_reading_open),
        ):
            self._connections.append(
                connection_class()(
                    _parameters(self._credentials, self._address, role),
                    on_open_callback=on_open,
                    on_open_error_callback=self._on_broken,
                    on_close_callback=self._on_broken,
                    custom_ioloop=io,
                )
            )

    def close(self) -> None:
        """Close both connections; the owner hears of the end as of a break."""
        self.end("closed", refused=False)

    def publish(self, publication: Publication, ticket: int) -> None:
        """Publish under the login's name; the ticket ends with the broker's word.

        Queues that are being made are made before: whoever is asked to fill one finds it.
        """
        if self._declarer.is_busy or self._held:
            self._held.append((publication, ticket))
        else:
            self._publisher.publish(publication, ticket)

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues and their bindings; a refusal is told for the queue it concerns."""
        self._declarer.declare(queues)

    def count_readers(self, queues: Sequence[str]) -> None:
        """Ask who reads queues."""
        self._declarer.count_readers(queues)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues."""
        self._declarer.delete(queues)

    def consume(self, queue: str, prefetch: int) -> None:
        """Read a queue; if it is read already, the reader is told nothing new."""
        self._reader.consume(queue, prefetch)

    def stop_consuming(self, queue: str) -> None:
        """Read a queue no more."""
        self._reader.stop_consuming(queue)

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge on the channel that delivered; on another life's, nothing."""
        self._reader.acknowledge(delivery)

    def reject(self, delivery: Delivery) -> None:
        """Reject without a second try."""
        self._reader.reject(delivery)

    # Life and death (`fedmq.transport.rabbitmq_life.Life`).

    def _on_publishing_open(self, connection: SelectConnection) -> None:
        if self.is_dead:
            connection.close()
        else:
            self._publisher.begin(connection)

    def _on_reading_open(self, connection: SelectConnection) -> None:
        if self.is_dead:
            connection.close()
            return
        self._reader.begin(connection)
        self._declarer.begin(connection)

    def _on_made(self) -> None:
        self.done(_DECLARATIONS)
        self._reader.read_all()
        held, self._held = self._held, []
        for publication, ticket in held:
            self._publisher.publish(publication, ticket)

    def done(self, step: str) -> None:
        """Note a step of the beginning; after the last one the owner hears that it is ready."""
        self._pending.discard(step)
        if self.is_ready or self.is_dead or self._pending:
            return
        self.is_ready = True
        self._owner.link_ready()
        early, self._early = self._early, []
        for event in early:
            self._owner.tell(event)

    def tell(self, event: TransportEvent) -> None:
        """Hand on an event; what comes before the link is ready waits until it is."""
        if self.is_dead:
            return
        if self.is_ready:
            self._owner.tell(event)
        else:
            self._early.append(event)

    def _on_broken(self, _connection: SelectConnection, reason: BaseException) -> None:
        self._num_gone += 1
        if self._num_gone == len(self._connections):
            self._loop.call_later(0.0, lambda: self._owner.link_gone(self))
        if self.is_dead or self._is_looking:
            return
        tls = self._credentials.tls
        if tls is None or not is_of_tls(reason):
            self.end(reason_of(reason), refused=is_refusal(reason))
            return
        self._is_looking = True
        threading.Thread(
            target=self._look, args=(tls, reason), name="fedmq-look", daemon=True
        ).start()

    def _look(self, tls: Tls, reason: BaseException) -> None:
        """Find out, beside the loop, who it was that TLS did not believe."""
        try:
            obstacle = find_obstacle(self._address, tls, self._credentials.proxy)
        except FedmqError as error:
            obstacle, reason = None, error
        except Exception:  # noqa: BLE001 - whatever was shown, the link ends and is tried again
            obstacle = None
        why = reason_of(obstacle or reason)
        # A loop that has been closed meanwhile takes nothing more, and nobody waits for it.
        with suppress(Exception):
            self._loop.add_callback_threadsafe(lambda: self.end(why, refused=is_refusal(reason)))

    def end(self, why: str, *, refused: bool) -> None:
        """End both connections; the owner hears of it once."""
        if self.is_dead:
            return
        self.is_dead = True
        for connection in self._connections:
            if not (connection.is_closing or connection.is_closed):
                connection.close()
        # After the frames of the closing have left.
        self._loop.call_later(0.0, lambda: self._owner.link_broken(why, refused=refused))


def proof_of(credentials: Credentials) -> pika.PlainCredentials | ExternalCredentials:
    """Return what is said to the broker besides: the password, or that the certificate says it."""
    if credentials.tls is not None and credentials.tls.certificate is not None:
        return ExternalCredentials()
    return pika.PlainCredentials(credentials.user, credentials.password)


def tls_options(credentials: Credentials, host: str) -> pika.SSLOptions | None:
    """Return what pika has to know for TLS to `host`, None where there is none."""
    if credentials.tls is None:
        return None
    return pika.SSLOptions(credentials.tls.context(), server_hostname=host)


def _parameters(credentials: Credentials, address: Address, role: str) -> pika.ConnectionParameters:
    host, port = address
    return pika.ConnectionParameters(
        host=host,
        port=port,
        virtual_host=credentials.vhost,
        credentials=proof_of(credentials),
        ssl_options=tls_options(credentials, host),
        heartbeat=credentials.heartbeat_s,
        blocked_connection_timeout=BLOCKED_TIMEOUT_S,
        connection_attempts=1,
        socket_timeout=_CONNECT_TIMEOUT_S,
        stack_timeout=2 * _CONNECT_TIMEOUT_S,
        client_properties={
            "connection_name": f"{credentials.user} {role}",
            "product": credentials.program,
        },
    )
