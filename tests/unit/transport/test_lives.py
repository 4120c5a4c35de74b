"""Lives: a service without room ends, is said to wait, and lives again once there is room."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fedmq.errors import DiskFull, StorageError
from fedmq.messages.codec import decode
from fedmq.messages.notices import Activity, Heartbeat
from fedmq.messages.registry import Body
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import topology
from fedmq.transport.home import Room
from fedmq.transport.journal import Journal
from fedmq.transport.lives import Lives, Nature
from fedmq.transport.loop import Loop
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import Delivered, TransportEvent
from fedmq.types import ORCHESTRATOR, NodeId
from tests.support.clock import FakeClock

LYON = NodeId("chu-lyon")
SIGN = Heartbeat(version="1", activity=Activity.DISK_FULL, progress=0.0, num_waiting=2)


class Life:
    """A service that does one thing, and serves until it is stopped."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.loop: Loop[None] = Loop()
        self.act = act

    def run(self) -> None:
        """Do it."""
        self.act()


class World:
    """A node's home, its lives, and a watcher; time goes on by a second whenever it is asked."""

    def __init__(self, *acts: Callable[[], None]) -> None:
        self.acts = list(acts)
        self.rooms = [False, False, True]
        self.looked_for: list[int] = []
        self.heard: list[Heartbeat] = []
        seconds = itertools.count(1_000)
        clock = FakeClock(lambda: float(next(seconds)))
        self.broker = MemoryBroker(topology.federation(nodes=[LYON], researchers=[]))
        self.watcher = MemoryTransport(self.broker, "orchestrator", self._hear)
        self.watcher.consume(topology.orchestrator_events(ORCHESTRATOR), prefetch=8)
        self.watcher.start()
        nature = Nature(make=self._make, read_room=self._read_room, signs=self._signs)
        self.lives = Lives(
            me=LYON,
            nature=nature,
            home=self,  # type: ignore[arg-type]  # all that is asked of it is whether it has room
            make_transport=lambda sink: MemoryTransport(self.broker, LYON, sink),
            wire=PlainWire(),
            clock=clock,
        )

    def journal(self, *_schemas: str) -> Journal:
        """Find none: so full is the disk."""
        raise StorageError("the journal cannot be opened")

    def has_room(self, size_bytes: int) -> bool:
        """Return what was prepared, once everybody has been heard."""
        self.looked_for.append(size_bytes)
        self.broker.run_until_idle()
        return self.rooms.pop(0)

    def _make(self) -> Life:
        return Life(self.acts.pop(0))

    def _read_room(self) -> Room:
        return Room(needed_bytes=29_000_000, free_bytes=1_000_000)

    def _signs(self, room: Room) -> Sequence[Body]:
        assert not room.is_enough
        return [SIGN]

    def _hear(self, event: TransportEvent) -> None:
        if isinstance(event, Delivered):
            body: Any = decode(event.delivery.body).body
            self.heard.append(body)
            self.watcher.acknowledge(event.delivery)


def fill() -> None:
    """Find no room."""
    raise DiskFull("a file could not be written", fix="free space")


def rest() -> None:
    """Be stopped in order."""


def test_a_service_without_room_lives_again_when_there_is_some() -> None:
    """All that is needed has to be there; meanwhile watchers hear that it waits."""
    world = World(fill, rest)
    world.lives.run()
    assert world.acts == []
    assert world.looked_for == [29_000_000] * 3
    assert world.heard
    assert set(map(repr, world.heard)) == {repr(SIGN)}


def test_a_life_that_cannot_even_begin_is_waited_for_too() -> None:
    """The journal of a full disk may not open."""
    world = World(rest)
    make, tries = world._make, []

    def make_late() -> Life:
        tries.append(1)
        return make() if len(tries) > 1 else Life(fill)

    world.lives._nature = Nature(make=make_late, read_room=world._read_room, signs=lambda _room: [])
    world.lives.run()
    assert len(tries) == 2
    assert world.heard == []


def test_every_other_fault_of_the_disk_ends_it() -> None:
    """A disk that fails gets no better by waiting; a person has to look."""

    def fail() -> None:
        raise StorageError("the journal could not be read or written", why="disk I/O error")

    world = World(fail, rest)
    with pytest.raises(StorageError, match="I/O"):
        world.lives.run()
    assert world.looked_for == []


def test_whoever_waits_can_be_stopped() -> None:
    """A signal ends the wait, not the next life."""
    world = World(fill, rest)
    world.has_room = lambda _size_bytes: world.lives.stop() is not None  # type: ignore[method-assign]
    world.lives.run()
    assert len(world.acts) == 1


def test_a_stop_between_two_lives_is_not_forgotten() -> None:
    """The next one serves nobody."""
    world = World(rest)
    loops = []

    def make() -> Life:
        world.lives.stop()
        life = Life(rest)
        loops.append(life.loop)
        return life

    world.lives._nature = Nature(make=make, read_room=world._read_room, signs=world._signs)
    world.lives.run()
    assert [loop._is_stopping for loop in loops] == [True]


@pytest.mark.parametrize(
    ("free_bytes", "is_enough"), [(28_999_999, False), (29_000_000, True), (10**12, True)]
)
def test_room_says_whether_it_is_enough_and_both_numbers(free_bytes: int, is_enough: bool) -> None:  # noqa: FBT001 - a table
    """In words, for people."""
    room = Room(needed_bytes=29_000_000, free_bytes=free_bytes)
    assert room.is_enough is is_enough
    assert str(room).startswith("29 MB needed, ")
