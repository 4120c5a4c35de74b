"""A federation on the memory broker: the real orchestrator among scripted members.

The orchestrator has any number of lives, each opened from what the last one left on the disk.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from fedmq.messages.submissions import RoundRecord
from fedmq.orchestrator import store
from fedmq.orchestrator.lead import Lead
from fedmq.orchestrator.service import OrchestratorService
from fedmq.orchestrator.store import Store
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import topology
from fedmq.transport.home import LocalHome
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import (
    Delivery,
    Publication,
    Queue,
    Sink,
    TransportEvent,
)
from fedmq.types import ExperimentId
from tests.support.clock import FakeClock
from tests.unit.orchestrator.arithmetic import ADA, BOB, LUNG, NODES, ORCHESTRATOR
from tests.unit.orchestrator.members import Node, Researcher

START = 1_700_000_000.0


class Killed(BaseException):
    """The process is gone, in the middle of what it did."""


class Limited(LocalHome):
    """A home on a disk with so many free bytes, whatever is written or removed."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.home)
        self._world = world

    def free_bytes(self) -> int:
        """Return what is free."""
        return self._world.free_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Return whether it is enough."""
        return size_bytes <= self._world.free_bytes


class Fuse:
    """Counts what a life does, and ends it."""

    def __init__(self) -> None:
        self.count = 0
        self.ends_at: int | None = None

    def burn(self) -> None:
        """Count one step; at the last one nothing more happens."""
        self.count += 1
        if self.ends_at is not None and self.count >= self.ends_at:
            raise Killed


class FusedTransport(MemoryTransport):
    """A transport whose every call may be the last thing that the process does."""

    def __init__(self, world: "World", take: Callable[[TransportEvent], None]) -> None:
        super().__init__(world.broker, ORCHESTRATOR, take)
        self.fuse = world.fuse
        self.is_gone = False
        self.kinds: list[str] = []
        """The types of what was published, in order."""

    def connect(self) -> None:
        """Connect, unless the process is gone by now."""
        if not self.is_gone:
            super().connect()

    def publish(self, publication: Publication, ticket: int) -> None:
        """Publish, or die before."""
        self.fuse.burn()
        self.kinds.append(publication.properties.type)
        super().publish(publication, ticket)

    def acknowledge(self, delivery: Delivery) -> None:
        """Acknowledge, or die before."""
        self.fuse.burn()
        super().acknowledge(delivery)

    def declare(self, queues: tuple[Queue, ...]) -> None:  # type: ignore[override]
        """Declare, or die before."""
        self.fuse.burn()
        super().declare(queues)

    def delete(self, queues: list[str]) -> None:  # type: ignore[override]
        """Delete, or die before."""
        self.fuse.burn()
        super().delete(queues)


class World:
    """A broker, three nodes, two researchers, and an orchestrator that may die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.home = folder / ORCHESTRATOR
        self.free_bytes = 10**12
        """On the orchestrator's disk."""
        self.reminders: list[float] = []
        """When the orchestrator asked whether its operator is to be reminded."""
        self.fuse = Fuse()
        layout = topology.federation(nodes=NODES, researchers=[ADA, BOB])
        self.broker = MemoryBroker(layout)
        self.nodes = {name: Node(self, name) for name in NODES}
        self.ada, self.bob = Researcher(self, ADA), Researcher(self, BOB)
        self.service: OrchestratorService | None = None
        self.old_journals: list[Journal] = []
        self.live()
        self.run()
        for node in self.nodes.values():
            node.beat()
        self.run()

    def join(self, name: str, take: Sink) -> MemoryTransport:
        """Return a member's way to the broker."""
        return MemoryTransport(self.broker, name, take)

    # The orchestrator's lives.

    def clock(self) -> float:
        """Return the orchestrator's time, or end its life."""
        self.fuse.burn()
        return self.now

    def live(self) -> None:
        """Open an orchestrator from what is on the disk."""
        self.service = None

        def make_transport(_sink: object) -> FusedTransport:
            transport = FusedTransport(self, lambda event: self.take(transport, event))
            self.transport = transport
            return transport

        self.service = OrchestratorService(
            name=ORCHESTRATOR,
            home=Limited(self),
            make_transport=make_transport,
            wire=PlainWire(),
            clock=FakeClock(self.clock),
            version="1",
            remind=lambda: self.reminders.append(self.now),
        )
        self.service.start()

    def take(self, transport: FusedTransport, event: TransportEvent) -> None:
        """Hand an event to the orchestrator that lives; what comes for an older one is lost."""
        if not transport.is_gone:
            assert self.service is not None
            self.service.handle(event)

    def die(self) -> None:
        """End the orchestrator's life without a word; the broker sees a broken connection."""
        self.transport.is_gone = True
        self.transport.close()
        if self.service is not None:
            self.old_journals.append(self.service._journal)
        self.service = None

    # Time.

    def run(self, seconds: float = 0.0) -> None:
        """Let everything happen, then time pass and everything happen again."""
        self.broker.run_until_idle()
        for _ in range(int(seconds)):
            self.second()
            self.broker.run_until_idle()

    def second(self) -> None:
        """Let a second pass for everyone who lives."""
        self.now += 1.0
        if self.service is not None:
            self.service.tick()
        for member in (*self.nodes.values(), self.ada, self.bob):
            member.courier.tick()

    def step(self) -> None:
        """Take one step of the broker; a second where there is none to take."""
        if not self.broker.step():
            self.second()

    def run_until_over(self, *experiments: ExperimentId, limit_s: int = 2_000) -> None:
        """Let time pass until experiments are over and all their nodes know."""
        for _ in range(limit_s):
            self.run()
            told = [node.over[one] for node in self.nodes.values() for one in experiments]
            if all(told):
                return
            self.second()
        raise AssertionError([lead.state.reason() for lead in self.leads()])

    def close(self) -> None:
        """Close all journals."""
        if self.service is not None:
            self.service.close()
        for journal in self.old_journals:
            journal.close()
        for member in (*self.nodes.values(), self.ada, self.bob):
            member.journal.close()

    # What is there.

    def leads(self) -> list[Lead]:
        """Return what the orchestrator leads."""
        assert self.service is not None
        return list(self.service._leader)

    def keep_records(self, records: Iterable[RoundRecord]) -> None:
        """Write the records of rounds that never were into the orchestrator's store."""
        journal = LocalHome(self.home).journal(store.SCHEMA)
        with journal.transaction():
            for record in records:
                Store(journal).add_record(LUNG, record)
        journal.close()

    def payloads(self) -> set[str]:
        """Return the names of the files in the orchestrator's spool."""
        return {path.name for path in (self.home / "payloads").iterdir()}

    def kept(self, experiment: ExperimentId = LUNG) -> set[str]:
        """Return the names of the files that an experiment left."""
        return {path.name for path in (self.home / "experiments" / experiment).iterdir()}

    def model(self, number: int, experiment: ExperimentId = LUNG) -> bytes:
        """Return the bytes of the checkpoint of a round."""
        path = self.home / "experiments" / experiment / f"round-{number:04d}.safetensors"
        return path.read_bytes()

    def records(self, experiment: ExperimentId = LUNG) -> list[RoundRecord]:
        """Return what rounds.jsonl holds."""
        path = self.home / "experiments" / experiment / "rounds.jsonl"
        return [RoundRecord.model_validate_json(line) for line in path.read_text().splitlines()]

    def outcomes(self, number: int, experiment: ExperimentId = LUNG) -> dict[str, str]:
        """Return what each node did in a round."""
        return {one.node: one.outcome for one in self.records(experiment)[number - 1].outcomes}

    def rejected(self) -> list[str]:
        """Return why the orchestrator turned messages away."""
        assert self.service is not None
        rows = self.service._journal.rows("SELECT reason FROM rejected ORDER BY rowid")
        return [str(row[0]) for row in rows]

    def require_nothing_left(self, *experiments: ExperimentId) -> None:
        """Return if nothing of these experiments is left but their files and newest models."""
        assert self.service is not None
        self.run()
        models = {lead.state.model.digest for lead in self.leads()}
        assert self.payloads() == models
        for experiment in experiments:
            for queue in ("replies", "payloads"):
                assert self.broker.queue(f"experiment.{experiment}@orchestrator.{queue}") is None
        assert self.service._courier.num_unsent == 0
        assert self.service._courier.num_awaited == 0
        for member in (*self.nodes.values(), self.ada, self.bob):
            assert member.courier.num_unsent == 0
        assert self.rejected() == []
        assert self.broker.depth("dead") == 0
