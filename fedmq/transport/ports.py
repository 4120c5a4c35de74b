"""The port to a broker: what goes out, what comes back, and nothing of how.

A transport is asked, never waited for: every call returns at once, and what becomes of it arrives
as an event at the `sink` that the transport was built with. The promises of
every implementation:

1. Events reach the sink one at a time, in the order in which they happened.
2. A ticket that was published ends in exactly one of `Confirmed`, `Nacked`, `Returned`, or in the
   next `Disconnected`, which voids every open ticket: the sender publishes those again.
3. `consume` and `declare` are remembered and done again after each reconnect, before `Connected`.
4. A delivery is redelivered until it is acknowledged or rejected; after a `Disconnected` its
   acknowledgement is void and does nothing.
5. `Blocked` means wait: what was published leaves when the broker has room again.
6. The broker checks `user_id`: a publication carries the login of its connection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fedmq.transport.declarations import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """The AMQP properties that fedmq uses: a mirror of the envelope, for people and brokers."""

    type: str = ""
    message_id: str = ""
    correlation_id: str = ""
    user_id: str = ""
    app_id: str = ""
    content_type: str = "application/msgpack"
    timestamp: int = 0
    expiration_ms: int | None = None
    persistent: bool = True
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One body on its way to an exchange; `also_to` are further keys (AMQP's BCC header)."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
    also_to: tuple[str, ...] = ()
    mandatory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One body handed over by the broker, to be acknowledged or rejected once."""

    queue: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
    redelivered: bool
    tag: int
    connection: int
    """Counts connections, so that a tag of a connection that is gone is never used on the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """Both connections are open, queues are declared, consumers registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The way is broken or was refused; the transport tries again by itself in `retry_in_s`."""

    why: str
    refused: bool
    """True where the broker answered and said no (password, vhost, rights)."""
    retry_in_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The broker takes nothing for now (a memory or disk alarm), or takes again."""

    blocked: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A delivery arrived."""

    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The broker has the publication."""

    ticket: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Nacked:
    """The broker would not take the publication (a full queue); nothing is known of its copies."""

    ticket: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """No queue took the publication."""

    ticket: int
    routing_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLost:
    """A queue cannot be read: deleted, missing or not permitted. It is tried again by itself."""

    queue: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerBack:
    """A queue that was lost is read again."""

    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadersCounted:
    """So many programs read a queue, all logins together."""

    queue: str
    num_readers: int | None
    """None where the broker does not say, or has no such queue. Of a quorum queue with a single
    active consumer RabbitMQ counts the active one alone, of a classic queue those who wait too."""


TransportEvent = (
    Connected
    | Disconnected
    | Blocked
    | Delivered
    | Confirmed
    | Nacked
    | Returned
    | ConsumerLost
    | ConsumerBack
    | ReadersCounted
)

Sink = Callable[[TransportEvent], None]
"""Takes each event; called on the transport's thread, so it hands on and returns."""


class Transport(Protocol):
    """A way to a broker. Calls may come from any thread and return at once."""

    def start(self) -> None:
        """Begin connecting; `Connected` or `Disconnected` follows."""

    def publish(self, publication: Publication, ticket: int) -> None:
        """Hand over one publication; `ticket` (unique while open) comes back in its end."""

    def consume(self, queue: str, *, prefetch: int) -> None:
        """Read `queue` with at most `prefetch` deliveries unacknowledged; tells again if asked."""

    def stop_consuming(self, queue: str) -> None:
        """Read `queue` no more."""

    def count_readers(self, queues: Sequence[str]) -> None:
        """Ask who reads queues; with a connection, `ReadersCounted` follows for each."""

    def declare(self, queues: Sequence[Queue]) -> None:
        """Make queues with their bindings, now and after every reconnect."""

    def delete(self, queues: Sequence[str]) -> None:
        """Delete queues with what is in them, and forget their declaration."""

    def acknowledge(self, delivery: Delivery) -> None:
        """Take a delivery off its queue."""

    def reject(self, delivery: Delivery) -> None:
        """Take a delivery off its queue; on a control queue it goes to the dead letters."""

    def close(self) -> None:
        """Close in order and end the thread; no event comes after this returns."""
