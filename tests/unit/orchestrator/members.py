"""Scripted nodes and researchers, each a courier of its own."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from fedmq.disk import LocalDisk
from fedmq.messages.codec import Message
from fedmq.messages.data import DatasetSummary
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.fields import Manifest, RatioField
from fedmq.messages.mandates import ExperimentSpec, Order
from fedmq.messages.notices import Activity, ExperimentOver, Heartbeat, Hello
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
from fedmq.messages.submissions import ExperimentReport, Query, QueryKind, Submission
from fedmq.parameters import load_parameters, parameters_bytes
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.journal import Journal
from fedmq.transport.ports import (
    Sink,
    Transport,
    TransportEvent,
)
from fedmq.transport.routes import from_node, from_researcher
from fedmq.transport.spool import Spool
from fedmq.types import Digest, ExperimentId, NodeId, ResearcherId
from tests.support.clock import FakeClock
from tests.support.mandates import mandated
from tests.unit.orchestrator.arithmetic import (
    CASES,
    LUNG,
    ORCHESTRATOR,
    Arrays,
    initial,
    update_of,
)


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
            wire=PlainWire(),
            journal=self.journal,
            spool=Spool(self.disk),
            clock=FakeClock(lambda: world.now),
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

    def wants_payload(self, _message: Message) -> bool:
        """All wait for it."""
        return True

    def expect(self, _message: Message) -> bool:
        """Let payloads come by themselves at first."""
        return False

    def hear(self, message: Message) -> None:
        """Hear nothing."""

    def fetched(self, digest: Digest) -> None:
        """Nothing waits for it here."""

    def keeps(self, _digest: Digest) -> bool:
        """All that is here."""
        return True

    def may_fetch(self, sender: str, _digest: Digest) -> bool:
        """Give payloads to the orchestrator."""
        return sender == ORCHESTRATOR

    def turned_away(self, _message: TurnedAway) -> None:
        """The journal has it."""


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
        self.encode: Callable[[str, Arrays], bytes] = lambda _how, update: parameters_bytes(update)
        """Makes the file of an update, spoilt in the way of the round."""
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
        content = b"garbage" if how == "garbage" else self.encode(how, update)
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
        route = from_node(self.node, ORCHESTRATOR, envelope.experiment)
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
            self.courier.post(message, from_node(self.node, ORCHESTRATOR, envelope.experiment))

    def say(self, body: Body, message_id: str, place: Place, key: str = "-") -> None:
        """Post anything, in the queue of any experiment."""
        message = self.courier.write(body, message_id, ORCHESTRATOR, place)
        with self.courier.transaction():
            self.courier.post(message, from_node(self.node, ORCHESTRATOR, key))

    def says_hello(self, datasets: list[DatasetSummary]) -> None:
        """Greet the orchestrator, and tell of data."""
        self._num_hellos += 1
        hello = Hello(nonce=str(self._num_hellos), datasets=datasets)
        message = self.courier.write(hello, f"hello.{self._num_hellos}", ORCHESTRATOR, Place())
        self.courier.say(message, from_node(self.node, ORCHESTRATOR))

    _num_hellos = 0

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
        order = Order(
            experiment=experiment,
            researcher=self.researcher,
            orchestrator=ORCHESTRATOR,
            spec=spec,
            initial=manifest,
        )
        body = Submission(mandate=mandated(order))
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
            self.courier.post(message, from_researcher(self.researcher, ORCHESTRATOR))
