"""One program at a time reads what is for any orchestrator; a second store is refused by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fedmq.errors import SecondStore
from fedmq.orchestrator.sole_reader import PATIENCE_S, SoleReader
from fedmq.transport import topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import TransportEvent
from fedmq.types import ORCHESTRATOR
from tests.support.clock import FakeClock
from tests.unit.orchestrator.arithmetic import LUNG, make_spec
from tests.unit.orchestrator.federation import World

INBOX = topology.orchestrator_inbox(ORCHESTRATOR)


class Side:
    """A program that would read, on a broker with others."""

    def __init__(self, broker: MemoryBroker, now: list[float]) -> None:
        self.transport = MemoryTransport(broker, "orchestrator", self.take)
        self.reader = SoleReader(ORCHESTRATOR, self.transport, FakeClock(lambda: now[0]))
        self.errors: list[SecondStore] = []

    def take(self, event: TransportEvent) -> None:
        """Hand on an event; keep what is raised."""
        try:
            self.reader.handle(event)
        except SecondStore as error:
            self.errors.append(error)


class Sides:
    """Two programs and time."""

    def __init__(self) -> None:
        self.now = [0.0]
        self.broker = MemoryBroker(topology.federation(nodes=[], researchers=[]))
        self.one, self.two = (Side(self.broker, self.now) for _ in range(2))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(int(seconds) + 1):
            self.broker.run_until_idle()
            self.now[0] += 1.0
            for side in (self.one, self.two):
                side.reader.tick()
        self.broker.run_until_idle()

    def num_readers(self) -> int:
        """Return how many programs read."""
        queue = self.broker.queue(INBOX)
        assert queue is not None
        return len(queue.consumers)


@pytest.fixture
def sides() -> Sides:
    """Return two programs, the first of which reads."""
    sides = Sides()
    sides.one.transport.start()
    sides.run(1)
    assert sides.num_readers() == 1
    return sides


def test_a_second_reader_waits_says_so_and_is_refused_by_name(sides: Sides) -> None:
    """The first one notices nothing."""
    with capture_logs() as logged:
        sides.two.transport.start()
        sides.run(PATIENCE_S - 10)
    assert [one["event"] for one in logged] == ["inbox_taken"]
    assert sides.num_readers() == 1
    assert sides.two.errors == []
    sides.run(20)
    assert "start one of them as it was started, with --stand-by added" in str(sides.two.errors[0])
    assert sides.one.errors == []


def test_a_second_reader_begins_when_the_first_is_gone(sides: Sides) -> None:
    """It may have died a moment ago."""
    sides.two.transport.start()
    sides.run(30)
    sides.one.transport.close()
    sides.run(5)
    assert sides.num_readers() == 1
    assert sides.two.errors == []


def test_two_that_began_in_the_same_moment_both_end(sides: Sides) -> None:
    """Neither has seen the other before it read."""
    sides.two.transport.start()
    sides.two.reader._is_reading = False
    sides.two.reader._read()
    sides.run(2 * PATIENCE_S)
    assert sides.num_readers() == 2
    assert sides.one.errors
    assert sides.two.errors


def test_a_connection_that_comes_back_beside_its_own_ghost_reads_on(sides: Sides) -> None:
    """The broker counts the old one until it misses its heartbeats."""
    ghost = MemoryTransport(sides.broker, "orchestrator", lambda _event: None)
    ghost.consume(INBOX, prefetch=1)
    ghost.start()
    sides.run(PATIENCE_S / 2)
    ghost.close()
    sides.run(2 * PATIENCE_S)
    assert sides.one.errors == []
    assert sides.num_readers() == 1


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a federation."""
    world = World(tmp_path / "w")
    yield world
    world.close()


def test_a_submission_waits_for_who_may_read(world: World) -> None:
    """Whoever else reads has taken none of it: this one leads it then."""
    world.die()
    other = world.join("orchestrator", lambda _event: None)
    other.consume(INBOX, prefetch=0)
    other.start()
    world.run()
    world.live()
    world.ada.submit(make_spec())
    world.run(seconds=5)
    assert world.leads() == []
    other.close()
    world.run_until_over(LUNG)
