"""A federation on the memory broker: the real orchestrator, scripted nodes and researchers.

The orchestrator has any number of lives, each opened from what the last one left on the disk.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from fedmq.disk import LocalDisk
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.fields import Manifest, PlanReference, RatioField
from fedmq.messages.notices import Activity, ExperimentOver, Heartbeat
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    FailureCode,
    PrepareReply,
    Refusal,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.messages.submissions import (
    ExperimentReport,
    ExperimentSpec,
    Query,
    QueryKind,
    RoundRecord,
    Submission,
)
from fedmq.orchestrator.leader import Lead
from fedmq.orchestrator.service import OrchestratorService
from fedmq.parameters import Array, load_parameters, parameters_bytes
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import (
    Delivery,
    Publication,
    Queue,
    Sink,
    Transport,
    TransportEvent,
)
from fedmq.transport.routes import from_node, from_researcher
from fedmq.transport.spool import Spool
from fedmq.types import Digest, ExperimentId, NodeId, ResearcherId

LYON, BASEL, PARIS = NodeId("chu-lyon"), NodeId("umc-basel"), NodeId("ghu-paris")
NODES = (LYON, PARIS, BASEL)
CASES = {LYON: 17, PARIS: 5, BASEL: 29}
ADA, BOB = ResearcherId("ada"), ResearcherId("bob")
LUNG = ExperimentId("lung")
ORCHESTRATOR = "orchestrator"
START = 1_700_000_000.0

Arrays = dict[str, Array]


def initial(seed: int = 1) -> Arrays:
    """Return small parameters of three types."""
    generator = np.random.default_rng(seed)
    return {
        "w": generator.normal(size=(5, 3)).astype("<f4"),
        "b": generator.normal(size=4),
        "half": generator.normal(size=7).astype("<f2"),
    }


def update_of(node: NodeId, model: Arrays) -> Arrays:
    """Return what a node makes of a model: every bit of it decides."""
    factor = 1.0 + NODES.index(node)
    return {
        name: (np.sin(array * factor) / 10).astype(array.dtype) for name, array in model.items()
    }


def average(model: Arrays, updates: dict[NodeId, Arrays]) -> Arrays:
    """Return the model plus the mean of the updates, weighted by cases: numpy alone."""
    result: Arrays = {}
    for name, array in model.items():
        total = np.zeros(array.shape, np.float64)
        for node in sorted(updates):
            total = total + updates[node][name].astype(np.float64) * float(CASES[node])
        mean = total / float(sum(CASES[node] for node in updates))
        result[name] = (mean + array.astype(np.float64)).astype(array.dtype)
    return result


def models_by_hand(rounds: int, asked: tuple[NodeId, ...] = NODES, seed: int = 1) -> list[Arrays]:
    """Return the model of each round, round 0 first."""
    models = [initial(seed)]
    for _ in range(rounds):
        models.append(average(models[-1], {node: update_of(node, models[-1]) for node in asked}))
    return models


def make_spec(
    *,
    rounds: int = 2,
    quorum: int = 3,
    nodes: tuple[NodeId, ...] = NODES,
    evaluate: bool = True,
    deadline_s: float = 3_000.0,
    purpose: str = "a test",
) -> ExperimentSpec:
    """Return the spec of an experiment."""
    return ExperimentSpec(
        name="lung",
        purpose=purpose,
        plan=PlanReference(name="plan", digest=Digest("0" * 64), is_shipped=False),
        dataset="lung-petct",
        num_rounds=rounds,
        nodes=list(nodes),
        quorum=quorum,
        round_deadline_s=deadline_s,
        evaluate=evaluate,
    )


class Killed(BaseException):
    """The process is gone, in the middle of what it did."""


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

    def connect(self) -> None:
        """Connect, unless the process is gone by now."""
        if not self.is_gone:
            super().connect()

    def publish(self, publication: Publication, ticket: int) -> None:
        """Publish, or die before."""
        self.fuse.burn()
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


class Ground(Protocol):
    """What members stand on: a broker, a clock, a folder."""

    folder: Path

    @property
    def now(self) -> float:
        """The time."""

    def join(self, name: str, take: Sink) -> Transport:
        """Return a member's way to the broker."""

    def run(self) -> None:
        """Let everything happen."""


class Member:
    """A courier on the memory broker, in one life."""

    def __init__(self, world: "Ground", name: str, queues: list[str]) -> None:
        self.world = world
        self.name = name
        folder = world.folder / name
        self.transport = world.join(name, self.take)
        self.journal = Journal(folder / "journal.sqlite", couriers.SCHEMA)
        self.disk = LocalDisk(folder / "payloads")
        self.courier = Courier(
            me=name,
            transport=self.transport,
            journal=self.journal,
            spool=Spool(self.disk),
            clock=lambda: world.now,
            only_from=ORCHESTRATOR,
        )
        self.courier.attach(self)
        for queue in queues:
            self.transport.consume(queue, prefetch=4)
        self.transport.start()

    def take(self, event: TransportEvent) -> None:
        """Hand an event to the courier."""
        self.courier.handle(event)

    def make_payload(self, content: bytes) -> Manifest:
        """Return the manifest of a payload on this member's disk."""
        self.disk.write("new", 0, content)
        return self.courier.spool.adopt("new")

    def load(self, digest: str) -> Arrays:
        """Return the arrays of a payload, as copies."""
        path = self.courier.spool.path(Digest(digest))
        return {name: array.copy() for name, array in load_parameters(path).items()}

    def accept(self, message: Message) -> None:
        """Take a message; each member does it in its own way."""

    def expect(self, _message: Message) -> bool:
        """Let payloads come by themselves at first."""
        return False

    def hear(self, message: Message) -> None:
        """Hear nothing."""

    def fetched(self, digest: Digest) -> None:
        """Nothing waits for it here."""

    def may_fetch(self, sender: str, _digest: Digest) -> bool:
        """Give payloads to the orchestrator."""
        return sender == ORCHESTRATOR


class Node(Member):
    """A node that does what its script says; by default, all that is asked."""

    def __init__(self, world: "Ground", name: NodeId) -> None:
        self.node = name
        self.trainings: Counter[tuple[str, int]] = Counter()
        self.evaluations: Counter[tuple[str, int]] = Counter()
        self.asked_to_prepare: Counter[str] = Counter()
        self.over: Counter[str] = Counter()
        self.reply_to_prepare: Body | None = PrepareReply(
            num_training_cases=9, num_validation_cases=1
        )
        self.spoils: dict[int, str] = {}
        """By round: nan, shape, garbage, silent, fails, refuses, unsent (it announces only)."""
        self.figure = 0.0
        """What it says of every model; else what it finds."""
        queues = [topology.node_tasks(name), topology.node_payloads(name)]
        super().__init__(world, name, queues)

    def accept(self, message: Message) -> None:
        """Do what is asked."""
        envelope = message.envelope
        match message.body:
            case PrepareRequest():
                self.asked_to_prepare[envelope.experiment] += 1
                if self.reply_to_prepare is not None:
                    self.answer(self.reply_to_prepare, envelope)
            case TrainRequest() as request:
                self.trainings[envelope.experiment, envelope.round] += 1
                self.train(request, envelope)
            case EvaluateRequest() as request:
                self.evaluations[envelope.experiment, envelope.round] += 1
                self.evaluate(request, envelope)
            case ExperimentOver():
                self.over[envelope.experiment] += 1
                self.courier.drop(envelope.experiment)
            case _:
                raise AssertionError(message)

    def train(self, request: TrainRequest, envelope: Envelope) -> None:
        """Answer with an update, or as the script says."""
        how = self.spoils.get(envelope.round, "")
        update = update_of(self.node, self.load(request.parameters.digest))
        if how == "silent":
            return
        if how == "refuses":
            no = Refusal(code=RefusalCode.TOO_FEW_CASES, request_type=TrainRequest.TYPE)
            self.answer(no, envelope)
            return
        if how == "fails":
            code = FailureCode.OUT_OF_MEMORY
            self.answer(Failure(code=code, request_type=TrainRequest.TYPE, incident="i"), envelope)
            return
        if how == "nan":
            update["w"][-1, -1] = np.nan
        if how == "shape":
            update["w"] = update["w"].T.copy()
        content = b"garbage" if how == "garbage" else parameters_bytes(update)
        manifest = self.make_payload(content)
        reply = TrainReply(
            update=manifest,
            num_cases=CASES[self.node],
            metrics={"loss": RatioField(numerator=1.0, denominator=float(CASES[self.node]))},
            duration_s=1.0,
        )
        self.answer(reply, envelope)
        if how == "unsent":
            self.courier.spool.remove(Digest(manifest.digest))
        route = from_node(self.node, envelope.experiment)
        self.courier.push(manifest, [route], envelope.experiment)

    def evaluate(self, request: EvaluateRequest, envelope: Envelope) -> None:
        """Answer with a metric that depends on the model."""
        share = self.figure or float(np.abs(self.load(request.parameters.digest)["b"]).sum())
        metrics = {"loss": RatioField(numerator=share, denominator=2.0)}
        self.answer(EvaluateReply(num_cases=2, metrics=metrics, duration_s=0.5), envelope)

    def answer(self, body: Body, envelope: Envelope, suffix: str = "") -> None:
        """Post an answer to a request."""
        message = self.courier.write(
            body,
            f"{envelope.message_id}.{body.TYPE}{suffix}",
            ORCHESTRATOR,
            envelope.place,
            answers=envelope,
        )
        with self.courier.transaction():
            self.courier.post(message, from_node(self.node, envelope.experiment))

    def say(self, body: Body, message_id: str, place: Place, key: str = "-") -> None:
        """Post anything, in the queue of any experiment."""
        message = self.courier.write(body, message_id, ORCHESTRATOR, place)
        with self.courier.transaction():
            self.courier.post(message, from_node(self.node, key))

    def beat(self) -> None:
        """Give a sign of life."""
        body = Heartbeat(version="1", activity=Activity.IDLE, progress=0.0, num_waiting=0)
        self.courier.tell(self.courier.write(body, "heartbeat", "-", Place()), "heartbeat")


class Researcher(Member):
    """A researcher who keeps every answer, and sends parameters when asked for them."""

    def __init__(self, world: "Ground", name: ResearcherId) -> None:
        self.researcher = name
        self.answers: dict[str, Body] = {}
        self.num_queries = 0
        self.hidden: tuple[str, ...] = ()
        queues = [topology.researcher_inbox(name), topology.researcher_payloads(name)]
        super().__init__(world, name, queues)

    def accept(self, message: Message) -> None:
        """Keep an answer under the message that it answers."""
        correlation = message.envelope.correlation_id or ""
        assert correlation not in self.answers
        self.answers[correlation] = message.body

    def hide(self) -> None:
        """Be unable to send the parameters that are asked for."""
        self.hidden = self.disk.names()
        for name in self.hidden:
            self.disk.rename(name, f"{name}.hidden")

    def show(self) -> None:
        """Be able to send them again."""
        for name in self.hidden:
            self.disk.rename(f"{name}.hidden", name)

    def submit(
        self,
        spec: ExperimentSpec,
        experiment: ExperimentId = LUNG,
        *,
        seed: int = 1,
        content: bytes | None = None,
        message_id: str = "",
    ) -> str:
        """Submit an experiment; return the id of the message."""
        manifest = self.make_payload(
            parameters_bytes(initial(seed)) if content is None else content
        )
        message_id = message_id or f"{experiment}.submission"
        body = Submission(spec=spec, initial=manifest)
        self.post(body, message_id, Place(experiment=experiment))
        return message_id

    def ask(self, kind: QueryKind, experiment: str = "-") -> Body:
        """Return the answer to a query."""
        self.num_queries += 1
        message_id = f"query.{self.num_queries}"
        self.post(Query(kind=kind, experiment=experiment), message_id, Place())
        self.world.run()
        return self.answers[message_id]

    def report(self, experiment: ExperimentId = LUNG) -> ExperimentReport:
        """Return an experiment as it stands."""
        report = self.ask(QueryKind.SHOW, experiment)
        assert isinstance(report, ExperimentReport)
        return report

    def post(self, body: Body, message_id: str, place: Place) -> None:
        """Post anything."""
        message = self.courier.write(body, message_id, ORCHESTRATOR, place)
        with self.courier.transaction():
            self.courier.post(message, from_researcher(self.researcher))


class World:
    """A broker, three nodes, two researchers, and an orchestrator that may die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.home = folder / ORCHESTRATOR
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
            home=self.home,
            make_transport=make_transport,
            clock=self.clock,
            version="1",
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
