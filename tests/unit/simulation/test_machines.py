"""Machines: a life begins anew whatever ended the last one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from fedmq.simulation.aim import Aim
from fedmq.simulation.faults import NO_FAULTS, Misfortune
from fedmq.simulation.machines import Killed, Machine, Program
from fedmq.simulation.transport import FaultyBroker, FaultyTransport
from fedmq.transport import topology
from fedmq.transport.ports import Disconnected, Sink, TransportEvent


@dataclass
class Outside:
    """A world of one machine."""

    misfortune: Misfortune = field(
        default_factory=lambda: Misfortune(NO_FAULTS, Random(0), limit=0)
    )
    aim: Aim = field(default_factory=Aim)
    time: float = 0.0
    agenda: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set up the broker."""
        layout = topology.federation(nodes=[], researchers=[])
        self.broker = FaultyBroker(layout, self.misfortune, Random(0))

    def after(self, _seconds: float, act: Callable[[], None]) -> None:
        """Do something in a while."""
        self.agenda.append(act)


@dataclass
class Frail:
    """A program that is killed by the news of a broken connection."""

    transport: FaultyTransport

    def start(self) -> None:
        """Connect."""
        self.transport.start()

    def handle(self, event: TransportEvent) -> None:
        """Take the news."""
        if isinstance(event, Disconnected):
            raise Killed

    def tick(self) -> None:
        """Do nothing."""


class FrailMachine(Machine):
    """The machine of such a program."""

    def make(self, make_transport: Callable[[Sink], FaultyTransport]) -> Program:
        """Return the program."""
        return Frail(make_transport(lambda _event: None))


def test_a_program_may_be_killed_by_the_news_that_its_connection_broke() -> None:
    """What was to connect it again finds nobody; the next life has a connection of its own."""
    outside = Outside()
    machine = FrailMachine("orchestrator", outside, began_at=0.0)
    machine.live()
    while outside.broker.step():
        pass
    machine.lose_connection()
    assert machine.program is None
    while outside.agenda:
        outside.agenda.pop()()  # what was to connect it, before the next life
    assert machine.num_lives == 2
    assert machine.program is not None
    machine.home.close()
