"""The transport to RabbitMQ: one thread, one pair of connections, tried again for ever.

This module remembers what is to be declared and read, and when to try again; a `Link` is one life
of the pair of connections. Everything but the calls of the port happens on the transport's thread.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final
from urllib.parse import unquote, urlsplit

from pika.adapters.select_connection import IOLoop
from tenacity import RetryCallState, Retrying, wait_random_exponential

from fedmq.errors import ConfigurationError
from fedmq.transport.address import Address
from fedmq.transport.declarations import Queue
from fedmq.transport.ports import (
    Connected,
    Delivery,
    Disconnected,
    Publication,
    Sink,
    TransportEvent,
)
from fedmq.transport.proxy import Proxy
from fedmq.transport.rabbitmq_connection import read_in_larger_pieces
from fedmq.transport.rabbitmq_link import HEARTBEAT_S, Link
from fedmq.transport.rabbitmq_tls import Tls

RECONNECT_S: Final = 60.0
_CLOSE_TIMEOUT_S: Final = 3.0
_PLAIN: Final = "amqp"
_PORTS: Final = {_PLAIN: 5672, "amqps": 5671}


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who connects where."""

    addresses: tuple[Address, ...]
    """Of one broker, or of the nodes of a cluster, which are tried in turn."""
    vhost: str
    user: str
    password: str = field(repr=False)
    program: str = "fedmq"
    """Name and version, for the connections page of the management UI."""
    heartbeat_s: int = HEARTBEAT_S
    """A connection on which nothing comes for so long, and five seconds more, is taken for dead."""
    read_password: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    """Asked each time that a connection is made: a password may be changed while a program runs."""
    reconnect_s: float = RECONNECT_S
    """So long, at most, until a broker that was not reached is tried again."""
    tls: Tls | None = None
    """None: bytes travel as they are, on this machine alone."""
    proxy: Proxy | None = None
    """None: the way is direct, as it is to a broker on this machine in any case."""

    def renewed(self) -> "Login":
        """Return the login with the password as it is now.

        Raises:
            ConfigurationError: where it is kept cannot be read.
        """
        if self.read_password is None:
            return self
        return replace(self, password=self.read_password())


def make_login(  # noqa: PLR0913 - what a login is made of
    url: str,
    *,
    user: str,
    password: str,
    program: str = "fedmq",
    heartbeat_s: int = HEARTBEAT_S,
    tls: Tls | None = None,
    proxy: Proxy | None = None,
) -> Login:
    """Return the login at a broker's address such as amqps://broker.example.org:443/fedmq.

    The nodes of a cluster stand one after the other: amqps://ONE:5671,TWO:5671,THREE:5671/fedmq.
    Without `tls`, an address of amqps is believed by whom the system trusts.

    Raises:
        ConfigurationError: the address is none, or would let bytes travel a network as they are.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _PORTS:
        raise _unusable(f"it begins with {scheme if rest else 'nothing'}://, not with amqps://")
    hosts, _, path = rest.partition("?")[0].partition("/")
    addresses = tuple(
        _parse_address(host, _PORTS[scheme]) for host in hosts.rpartition("@")[2].split(",")
    )
    is_local = all(address.is_this_machine for address in addresses)
    if scheme == _PLAIN and not is_local:
        raise _unusable("amqp:// is for a broker on this machine alone: a network wants amqps://")
    return Login(
        addresses=addresses,
        vhost=unquote(path) or "/",
        user=user,
        password=password,
        program=program,
        heartbeat_s=heartbeat_s,
        tls=None if scheme == _PLAIN else tls or Tls(authority=None),
        proxy=None if is_local else proxy,
    )


def _parse_address(text: str, usual_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port or usual_port
    except ValueError as error:
        raise _unusable("a port is no number up to 65535") from error
    if not parts.hostname:
        raise _unusable("a host is missing")
    return Address(host=parts.hostname, port=port)


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(
        "the broker's address cannot be used",
        why=why,
        fix="write it as amqps://HOST:PORT/VHOST, for a cluster as "
        "amqps://HOST:PORT,HOST:PORT/VHOST",
    )


class RabbitTransport:
    """A way to RabbitMQ that keeps the promises of `fedmq.transport.ports`."""

    def __init__(self, login: Login, sink: Sink) -> None:
        self._login = login
        self._addresses = itertools.cycle(login.addresses)
        self._sink = sink
        self._wait = wait_random_exponential(
            multiplier=min(1.0, login.reconnect_s), max=login.reconnect_s
        )
        self._loop = IOLoop()
        self._thread = threading.Thread(target=self._run, name="fedmq-transport", daemon=True)
        self._link: Link | None = None
        self._not_gone: set[Link] = set()
        self._failures = 0
        self._declared: dict[str, Queue] = {}
        self._prefetch: dict[str, int] = {}
        self._is_closing = False

    def start(self) -> None:
        """Begin connecting; `Connected` or `Disconnected` follows."""
        # Everything that pika would log arrives as an event, with the address left out.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        read_in_larger_pieces()
        self._thread.start()

    def publish(self, publication: Publication, ticket: int) -> None:
        """Hand over one publication; without a connection it is void, as `Disconnected` said."""
        self._with_link(lambda link: link.publish(publication, ticket))

    def consume(self, queue: str, *, prefetch: int) -> None:
        """Read `queue`, now and after every reconnect."""

        def act() -> None:
            self._prefetch[queue] = prefetch
            if self._link is not None:
                self._link.consume(queue, prefetch)

        self._post(act)

    def stop_consuming(self, queue: str) -> None:
        """Read `queue` no more; what is in hand goes back to the queue."""

        def act() -> None:
            self._prefetch.pop(queue, None)
            if self._link is not None:
                self._link.stop_consuming(queue)

        self._post(act)

    def count_readers(self, queues: Sequence[str]) -> None:
        """Ask who reads queues."""
        self._with_link(lambda link: link.count_readers(queues))

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues with their bindings, now and after every reconnect."""

        def act() -> None:
            self._declared.update({queue.name: queue for queue in queues})
            if self._link is not None:
                self._link.declare(queues)

        self._post(act)

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues and forget their declaration."""

        def act() -> None:
            for name in queues:
                self._declared.pop(name, None)
            if self._link is not None:
                self._link.delete(queues)

        self._post(act)

    def acknowledge(self, delivery: Delivery) -> None:
        """Take a delivery off its queue."""
        self._with_link(lambda link: link.acknowledge(delivery))

    def reject(self, delivery: Delivery) -> None:
        """Take a delivery off its queue, to the dead letters where it has them."""
        self._with_link(lambda link: link.reject(delivery))

    def close(self) -> None:
        """Close in order and end the thread; no event comes after this returns."""
        if not self._thread.is_alive():
            return
        self._post(self._begin_closing)
        self._thread.join()

    # On the transport's thread.

    def _run(self) -> None:
        self._connect()
        self._loop.start()
        self._loop.close()

    def _connect(self) -> None:
        if self._is_closing:
            return
        try:
            login = self._login.renewed()
        except ConfigurationError as error:
            self.link_broken(str(error), refused=True)
            return
        # The next address each time: a node of a cluster that is gone is not waited for.
        self._link = Link(
            login,
            next(self._addresses),
            self._loop,
            self,
            declared=tuple(self._declared.values()),
            prefetch=self._prefetch,
        )
        self._not_gone.add(self._link)
        try:
            self._link.open()
        except ConfigurationError as error:
            # A certificate that is not there now may be in a while: somebody is at work on it.
            self._link.is_dead = True
            self._not_gone.discard(self._link)
            self.link_broken(str(error), refused=True)

    def link_ready(self) -> None:
        """Tell that both connections stand."""
        self._failures = 0
        self.tell(Connected())

    def link_broken(self, why: str, *, refused: bool) -> None:
        """Tell it, and try again after a wait that grows and differs from node to node."""
        self._link = None
        if self._is_closing:
            return
        self._failures += 1
        attempt = RetryCallState(Retrying(), None, (), {})
        # The wait grows once all addresses have been tried.
        attempt.attempt_number = ceil(self._failures / len(self._login.addresses))
        wait_s = self._wait(attempt)
        self.tell(Disconnected(why=why, refused=refused, retry_in_s=wait_s))
        self._loop.call_later(wait_s, self._connect)

    def link_gone(self, link: Link) -> None:
        """Forget a link whose sockets are closed; the last one ends a transport that is closing."""
        self._not_gone.discard(link)
        if self._is_closing and not self._not_gone:
            self._loop.stop()

    def tell(self, event: TransportEvent) -> None:
        """Hand an event to the sink, unless the transport is being closed."""
        if not self._is_closing:
            self._sink(event)

    def _begin_closing(self) -> None:
        self._is_closing = True
        if not self._not_gone:
            self._loop.stop()
            return
        self._loop.call_later(_CLOSE_TIMEOUT_S, self._loop.stop)
        if self._link is not None:
            self._link.close()

    def _with_link(self, act: Callable[[Link], None]) -> None:
        def guarded() -> None:
            if self._link is not None:
                act(self._link)

        self._post(guarded)

    def _post(self, act: Callable[[], None]) -> None:
        self._loop.add_callback_threadsafe(act)
