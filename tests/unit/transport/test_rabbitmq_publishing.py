"""A publisher whose channel says no, over a connection that only notes what is asked of it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from pika.spec import Basic

from fedmq.transport.ports import Confirmed, Nacked, Properties, Publication, TransportEvent
from fedmq.transport.rabbitmq_publishing import Publisher

TASK = Publication(exchange="e", routing_key="k", body=b"task", properties=Properties())


class Channel:
    """A channel on which confirms are on once the test says so."""

    def __init__(self) -> None:
        self.is_open = True
        self.num_published = 0
        self.confirm: Callable[[Any], None]
        self.ready: Callable[[Any], None]
        self._on_close: Callable[[object, Exception], None]

    def add_on_close_callback(self, callback: Callable[[object, Exception], None]) -> None:
        """Keep whom to tell of the end."""
        self._on_close = callback

    def add_on_return_callback(self, _callback: object) -> None:
        """Nothing is returned here."""

    def confirm_delivery(
        self, confirm: Callable[[Any], None], callback: Callable[[Any], None]
    ) -> None:
        """Keep whom to tell."""
        self.confirm, self.ready = confirm, callback

    def basic_publish(self, *_arguments: object, **_options: object) -> None:
        """Count it."""
        self.num_published += 1

    def close(self) -> None:
        """End, as asked for."""
        self.is_open = False
        self._on_close(self, RuntimeError("closed by this side"))

    def answer(self, method: type[Basic.Ack | Basic.Nack], tag: int) -> None:
        """Say the broker's word on one publication."""
        self.confirm(SimpleNamespace(method=method(delivery_tag=tag)))


class Connection:
    """A connection that opens every channel at once."""

    is_open = True

    def __init__(self) -> None:
        self.channels: list[Channel] = []

    def add_on_connection_blocked_callback(self, _callback: object) -> None:
        """It is never blocked."""

    def add_on_connection_unblocked_callback(self, _callback: object) -> None:
        """It is never blocked."""

    def channel(self, on_open_callback: Callable[[Channel], None]) -> None:
        """Open one."""
        self.channels.append(Channel())
        on_open_callback(self.channels[-1])


class Life:
    """A life that is ready, and keeps what it is told."""

    is_ready, is_dead = True, False

    def __init__(self) -> None:
        self.told: list[TransportEvent] = []
        self.ends: list[str] = []

    def done(self, step: str) -> None:
        """It has begun already."""

    def tell(self, event: TransportEvent) -> None:
        """Keep it."""
        self.told.append(event)

    def end(self, why: str, *, refused: bool) -> None:
        """Keep why."""
        self.ends.append(f"{why} {refused}")


def begun() -> tuple[Publisher, Connection, Life]:
    """Return a publisher that can publish."""
    life, connection = Life(), Connection()
    publisher = Publisher("chu-lyon", life)
    publisher.begin(cast("Any", connection))
    connection.channels[0].ready(None)
    return publisher, connection, life


def test_after_a_refusal_publishing_goes_on_by_a_new_channel() -> None:
    """Once that is ready; the old one closes when every ticket on it has had its end."""
    publisher, connection, life = begun()
    for ticket in (1, 2):
        publisher.publish(TASK, ticket)
    (old,) = connection.channels
    old.answer(Basic.Nack, 1)
    _, new = connection.channels
    publisher.publish(TASK, 3)
    assert (old.num_published, new.num_published) == (3, 0)
    new.ready(None)
    publisher.publish(TASK, 1)
    assert (old.num_published, new.num_published) == (3, 1)
    old.answer(Basic.Ack, 2)
    assert old.is_open
    old.answer(Basic.Ack, 3)
    assert not old.is_open
    new.answer(Basic.Ack, 1)
    expected = [Nacked(ticket=1), *(Confirmed(ticket=ticket) for ticket in (2, 3, 1))]
    assert (life.told, life.ends) == (expected, [])


def test_a_queue_that_is_full_does_not_open_a_channel_for_each_refusal() -> None:
    """Neither while one is being opened, nor soon after it was."""
    publisher, connection, _ = begun()
    for ticket in range(1, 6):
        publisher.publish(TASK, ticket)
    old = connection.channels[0]
    old.answer(Basic.Nack, 1)
    old.answer(Basic.Nack, 2)
    connection.channels[1].ready(None)
    old.answer(Basic.Nack, 3)
    publisher.publish(TASK, 6)
    connection.channels[1].answer(Basic.Nack, 1)
    assert len(connection.channels) == 2


def test_a_channel_that_the_broker_closes_ends_the_link() -> None:
    """Whatever was under way is void; that is told as the end of the connection."""
    publisher, connection, life = begun()
    publisher.publish(TASK, 1)
    connection.channels[0].close()
    assert life.ends == ["publishing was ended: closed by this side False"]
