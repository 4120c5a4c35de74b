"""Machines: programs that may be killed at any moment and come back with what their disk holds."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from fedmq.errors import DiskFull
from fedmq.simulation.aim import Aim
from fedmq.simulation.disk import Drawn, SimulatedHome
from fedmq.simulation.faults import Fault, Misfortune
from fedmq.simulation.transport import FaultyBroker, FaultyTransport
from fedmq.transport.ports import Delivered, Sink, TransportEvent
from fedmq.transport.topology import EVENTS

_YEAR_S: Final = 365 * 86_400.0
_LOOK_S: Final = 1.0
"""So often it is looked whether there is room on a full disk."""
_ON_DISK: Final = frozenset({"write", "sync", "rename", "link", "begin", "commit"})
_DONE: Final = frozenset({"synced", "committed"})
"""Between them and the next step nothing lasting happens: chance strikes before that one."""


class Killed(BaseException):
    """The program is gone, in the middle of what it did."""


class Program(Protocol):
    """A service, as its machine sees it."""

    def start(self) -> None:
        """Begin."""

    def handle(self, event: TransportEvent) -> None:
        """Take an event of the transport."""

    def tick(self) -> None:
        """Let time pass."""


class Outside(Protocol):
    """What a machine knows of the world."""

    broker: FaultyBroker
    misfortune: Misfortune
    aim: Aim

    @property
    def time(self) -> float:
        """Seconds that have gone by."""

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while."""


@dataclass(slots=True)
class MachineClock:
    """The clocks of one machine; the wall's may be wrong."""

    outside: Outside
    began_at: float
    error_s: float = 0.0

    def now(self) -> float:
        """Return Unix seconds, as this machine has them."""
        return self.began_at + self.outside.time + self.error_s

    def steady(self) -> float:
        """Return the seconds that have gone by."""
        return self.outside.time


class Machine(ABC):
    """One program on one disk; `make` opens the program from what is on the disk."""

    def __init__(self, name: str, outside: Outside, *, began_at: float) -> None:
        self.name = name
        self.num_lives = 0
        self.num_deliveries = 0
        """How many messages it was handed that are no events."""
        self.program: Program | None = None
        self.home = SimulatedHome(name, self.step)
        self.clock = MachineClock(outside, began_at)
        self.outside = outside
        self._transport: FaultyTransport | None = None
        self._is_exposed = False
        """Whether something may happen to it: not while its disk is prepared."""

    @abstractmethod
    def make(self, make_transport: Callable[[Sink], FaultyTransport]) -> Program:
        """Return the program, from what the disk holds."""

    def live(self) -> None:
        """Begin a life; a full disk or a kill may end it at once."""
        self.num_lives += 1
        self._is_exposed = True
        self._attempt(self._begin)

    def tick(self) -> None:
        """Let the program know that time has gone by."""
        program = self.program
        if program is not None:
            if self.outside.misfortune.happens(Fault.SET_CLOCK):
                random = self.outside.misfortune.random
                self.clock.error_s = random.uniform(-10 * _YEAR_S, 10 * _YEAR_S)
                self.outside.after(random.uniform(1, 100_000), self._mend_clock)
            self._attempt(program.tick)

    def rows(self, table: str) -> int:
        """Return how many rows a table of its journal has."""
        return self.home.count(table)

    def lose_connection(self) -> None:
        """Break the connection to the broker; it is opened again in a while."""
        transport = self._transport
        if transport is not None:
            transport.disconnect()  # which may be more than the program survives
            self._mend(transport)

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while, if this life lasts."""
        life = self.num_lives

        def act_if_alive() -> None:
            if life == self.num_lives and self.program is not None:
                self._attempt(act)

        self.outside.after(seconds, act_if_alive)

    def step(self, word: str) -> None:
        """Stand before something that is to last; here programs are killed."""
        if not self._is_exposed:
            return
        if self.outside.aim.hits(self.name, word):
            raise Killed
        if word in _DONE:
            return
        misfortune = self.outside.misfortune
        if word in _ON_DISK and (self.home.is_full or misfortune.happens(Fault.FULL_DISK)):
            if not self.home.is_full:
                self.home.is_full = True
                self.outside.after(misfortune.random.uniform(1, 600), self._make_room)
            raise DiskFull("the disk is full", fix="free space")
        if misfortune.happens(Fault.CRASH):
            raise Killed

    def _begin(self) -> None:
        program = self.make(self._make_transport)
        self.program = program
        program.start()

    def _make_transport(self, _sink: Sink) -> FaultyTransport:
        transport = FaultyTransport(
            self.outside.broker,
            self.name,
            lambda event: self._take(transport, event),
            misfortune=self.outside.misfortune,
            step=self.step,
            broke=self._mend,
        )
        self._transport = transport
        return transport

    def _take(self, transport: FaultyTransport, event: TransportEvent) -> None:
        program = self._program_of(transport)
        if program is not None:
            if isinstance(event, Delivered) and event.delivery.exchange != EVENTS:
                self.num_deliveries += 1
            self._attempt(lambda: program.handle(event))

    def _program_of(self, transport: FaultyTransport) -> Program | None:
        """Return whose connection this is; None where that program is gone."""
        return self.program if transport is self._transport else None

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something, be killed in the middle of it, or let go of everything on a full disk."""
        try:
            act()
        except Killed:
            self._die()
        except DiskFull:
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """As `fedmq.transport.lives`: the next life begins on the disk as it is."""
        self._let_go()
        self._look_for_room()

    def _look_for_room(self) -> None:
        if self.home.is_full:
            self.outside.after(_LOOK_S, self._look_for_room)
        else:
            self.outside.after(0.0, self.live)

    def _let_go(self) -> None:
        transport, self._transport, self.program = self._transport, None, None
        if transport is not None:
            transport.close()

    def _die(self) -> None:
        self._let_go()
        misfortune = self.outside.misfortune
        self.home.crash(self.outside.aim.fate or Drawn(misfortune.random))
        absence_s = misfortune.random.choice((0.0, 1.0, 30.0))
        if misfortune.happens(Fault.LONG_ABSENCE):
            absence_s = misfortune.random.uniform(600, 20_000)
        self.outside.after(absence_s, self.live)

    def _mend(self, transport: FaultyTransport) -> None:
        wait_s = self.outside.misfortune.random.choice((0.0, 1.0, 60.0))

        def connect() -> None:
            if transport is self._transport:
                transport.connect()

        self.outside.after(wait_s, connect)

    def _mend_clock(self) -> None:
        self.clock.error_s = 0.0

    def _make_room(self) -> None:
        self.home.is_full = False
