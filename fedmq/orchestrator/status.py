"""The status of an orchestrator: what its home says, whether or not its program runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedmq.errors import StorageError
from fedmq.messages.notices import ExperimentOverview, Overview
from fedmq.orchestrator import heard, leadership, store, witness
from fedmq.orchestrator.checkpoints import FOLDER
from fedmq.orchestrator.heard import KEEP_S, LATELY_S, describe_absent, read_heard
from fedmq.orchestrator.leadership import read_epoch
from fedmq.orchestrator.lease import LEASE_S, Sign
from fedmq.orchestrator.needs import read_room
from fedmq.orchestrator.replay import replay
from fedmq.orchestrator.signs import Signs
from fedmq.orchestrator.store import Kept, Store
from fedmq.transport import courier as couriers
from fedmq.transport.home import Home, Room
from fedmq.transport.inbox import count_rejected
from fedmq.transport.journal import Journal
from fedmq.types import NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class LedExperiment:
    """One experiment that an orchestrator leads or has led."""

    experiment: str
    researcher: str
    state: str
    round: int
    num_rounds: int
    reason: str
    """What it waits for, or why it ended."""
    is_over: bool
    size_bytes: int
    """Of its folder: models, records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStatus:
    """A program that leads the experiments of the home, or would take over."""

    program: str
    """Its process and machine."""
    heard_at: float
    """When it gave its last sign, in Unix seconds by its own clock."""
    is_alive: bool
    """Whether that was a moment ago, and it has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStatus:
    """What one orchestrator has, waits for, and turned away."""

    experiments: tuple[LedExperiment, ...]
    unsent: int
    """Messages without a receipt."""
    payloads_awaited: int
    rejected: Mapping[str, int]
    """How many messages were turned away, by reason."""
    witnessed: Mapping[str, int]
    """The newest head of each node's audit log that is signed and kept, by its number."""
    refused_heads: Mapping[str, int]
    """How many heads were refused, by node: its log was rewritten, cut or put back."""
    room: Room
    """On its disk, and what the rounds under way need."""
    leader: ProgramStatus | None
    """Who leads, or led last."""
    epoch: int
    """Of who leads: each that takes over has a higher one."""
    stand_bys: tuple[ProgramStatus, ...]
    """Who would take over."""

    @property
    def num_led(self) -> int:
        """How many experiments are not over."""
        return sum(not one.is_over for one in self.experiments)

    @property
    def size_bytes(self) -> int:
        """What the folders of all experiments hold."""
        return sum(one.size_bytes for one in self.experiments)


def read_status(home: Home, *, now: float) -> OrchestratorStatus:
    """Return how an orchestrator is; its service may have the same home open.

    Raises:
        StorageError: the folder or the journal cannot be read.
    """
    journal = home.journal(
        couriers.SCHEMA, store.SCHEMA, heard.SCHEMA, witness.SCHEMA, leadership.SCHEMA
    )
    try:
        # Without a transaction, which would hold up the service while a long log is read.
        return _read(journal, home, now)
    finally:
        journal.close()


def read_signs(home: Home, version: str, room: Room, *, now: float) -> tuple[Overview, ...]:
    """Return what an orchestrator tells of its experiments while it waits for room."""
    try:
        led = [one for one in read_status(home, now=now).experiments if not one.is_over]
    except StorageError:
        return ()  # silence says more than an overview without the experiments that there are
    overviews = [
        ExperimentOverview(
            experiment=one.experiment,
            state=one.state,
            round=one.round,
            num_rounds=one.num_rounds,
            reason=f"the orchestrator's disk is full: {room}",
        )
        for one in led
    ]
    return (Overview(version=version, nodes=[], experiments=overviews),)


def _read(journal: Journal, home: Home, now: float) -> OrchestratorStatus:
    known, signs = Store(journal), Signs(home)
    leader = signs.leader()
    stand_bys = (_program(sign, now) for sign in signs.stand_bys().values())
    ages = {node: now - at for node, at in read_heard(journal).items()}
    return OrchestratorStatus(
        experiments=tuple(_led(kept, known, home, ages) for kept in known.experiments()),
        unsent=_count(journal, "outbox"),
        payloads_awaited=_count(journal, "waiting"),
        rejected=count_rejected(journal),
        witnessed=witness.count_witnessed(journal),
        refused_heads=witness.count_refused(journal),
        room=read_room(home),
        leader=None if leader is None else _program(leader, now),
        epoch=read_epoch(journal),
        stand_bys=tuple(one for one in stand_bys if one.is_alive),
    )


def _program(sign: Sign, now: float) -> ProgramStatus:
    # For people, whose clocks are near enough to each other; who takes over asks no clock.
    is_alive = not sign.has_ended and now - sign.at < LEASE_S
    return ProgramStatus(program=sign.words, heard_at=sign.at, is_alive=is_alive)


def _led(kept: Kept, known: Store, home: Home, ages: Mapping[NodeId, float]) -> LedExperiment:
    state = replay(kept, known.events(kept.experiment))
    # What is written down may be so much older than what the service knows.
    absent = ", ".join(describe_absent(state.awaited, ages, lately_s=LATELY_S + KEEP_S))
    disk = home.disk(FOLDER, kept.experiment)
    return LedExperiment(
        experiment=kept.experiment,
        researcher=kept.researcher,
        state=state.shown,
        round=state.round,
        num_rounds=state.spec.num_rounds,
        reason="; ".join(part for part in (state.reason(), absent) if part),
        is_over=state.is_over,
        size_bytes=sum(disk.size_bytes(name) or 0 for name in disk.names()),
    )


def _count(journal: Journal, table: str) -> int:
    return int(journal.cell(f"SELECT count(*) FROM {table}") or 0)  # noqa: S608 - own names
