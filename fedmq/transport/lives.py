"""Lives: a service on a disk that fills up lets go of everything, waits for room, begins again.

Nothing of a life in which the disk refused is kept, so that no half-done step of it can go on: what
counts is on the disk, as after a kill. Until there is room nothing is read from the broker, whose
queues keep what comes. Every other fault of the disk ends the process: a person has to look.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from fedmq.clocks import Clock
from fedmq.errors import DiskFull
from fedmq.messages.registry import Body
from fedmq.transport.beacon import Beacon
from fedmq.transport.counters import beacon_sign, life_of
from fedmq.transport.home import Home, Room
from fedmq.transport.loop import Loop
from fedmq.transport.ports import Sink, Transport, TransportEvent
from fedmq.transport.wires import Wire

FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 60.0
"""So long it takes a new life to be tried, at most, where room is said to be there and is not."""
LOOK_S: Final = 1.0
"""So often it is looked whether there is room."""

log = structlog.get_logger()


class Service(Protocol):
    """What has lives."""

    @property
    def loop(self) -> Loop[Any]:
        """Its loop, which ends it."""

    def run(self) -> None:
        """Serve until the loop is stopped.

        Raises:
            DiskFull: there is no room.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Nature:
    """What is the same in all lives of a service."""

    make: Callable[[], Service]
    """Returns the service, from what is on the disk; raises DiskFull where there is no room."""
    read_room: Callable[[], Room]
    """Returns what room there is, and what is needed for what the service has before it."""
    signs: Callable[[Room], Sequence[Body]]
    """Returns what watchers are told while it waits for room."""


class Lives:
    """One service after another from the same disk, until stopped."""

    def __init__(
        self,
        *,
        me: str,
        nature: Nature,
        home: Home,
        make_transport: Callable[[Sink], Transport],
        wire: Wire,
        clock: Clock,
    ) -> None:
        self._me = me
        self._wire = wire
        self._nature = nature
        self._home = home
        self._make_transport = make_transport
        self._clock = clock
        self._loop: Loop[Any] = Loop()
        self._is_stopping = False
        self._num_signs = 0

    def stop(self) -> None:
        """End `run` after the event in hand; may be called from a signal handler."""
        self._is_stopping = True
        self._loop.stop()

    def run(self) -> None:
        """Serve until stopped.

        Raises:
            StorageError: the disk refuses for another reason than that it is full.
        """
        pause_s = FIRST_PAUSE_S
        while not self._is_stopping:
            began_at = self._clock.steady()
            if self._live():
                return
            lasted_s = self._clock.steady() - began_at
            pause_s = FIRST_PAUSE_S if lasted_s > LAST_PAUSE_S else pause_s
            self._wait(pause_s)
            pause_s = min(LAST_PAUSE_S, 2 * pause_s)

    def _live(self) -> bool:
        """Return whether a life ended because it was stopped; False: there was no room."""
        try:
            service = self._nature.make()
            self._enter(service.loop)
            service.run()
        except DiskFull as error:
            log.warning("disk_refused", reason=str(error))
            return False
        return True

    def _wait(self, pause_s: float) -> None:
        """Return once there is room, or when stopped."""
        room = self._nature.read_room()
        log.warning("disk_full", reason=str(room), fix="free space; it goes on by itself")
        loop: Loop[TransportEvent] = Loop()
        self._enter(loop)
        beacon = Beacon(
            me=self._me,
            make_transport=self._make_transport,
            sink=loop.put,
            clock=self._clock,
            signs=self._nature.signs(room),
            wire=self._wire,
            numbers=self._numbers(),
        )
        look_at = self._clock.steady() + pause_s

        def tick() -> None:
            nonlocal look_at
            beacon.tick()
            if self._clock.steady() >= look_at:
                look_at = self._clock.steady() + LOOK_S
                if self._home.has_room(room.needed_bytes):
                    log.info("disk_has_room")
                    loop.stop()

        try:
            loop.run(beacon.handle, tick)
        finally:
            beacon.close()

    def _numbers(self) -> Iterator[int]:
        """Yield numbers that are larger than those of the last life, and less than the next's."""
        life = life_of(self._home)
        while True:
            self._num_signs += 1
            yield beacon_sign(life, self._num_signs)

    def _enter(self, loop: Loop[Any]) -> None:
        """Let `stop` end what begins now."""
        self._loop = loop
        if self._is_stopping:
            loop.stop()
