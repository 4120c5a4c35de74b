"""A node with its real worker on the memory broker: a shipped plan, from question to end."""

import contextlib
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from fedmq.clocks import SystemClock
from fedmq.disk import LocalDisk
from fedmq.learning.catalogue import plan_digest
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest, PlanReference
from fedmq.messages.mandates import Mandate
from fedmq.messages.notices import ExperimentOver, Hello, Welcome
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    FailureCode,
    PrepareReply,
    Refusal,
    TrainReply,
)
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.audit_facts import IncidentHappened
from fedmq.node.capped_log import INCIDENTS_NAME, CappedLog
from fedmq.node.plans import Asked
from fedmq.node.records import open_records
from fedmq.node.service import NodeService
from fedmq.node.worker import Worker, WorkerEvent
from fedmq.parameters import load_parameters, save_parameters
from fedmq.simulation.approval import RELAXED, approve_plan
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.home import LocalHome
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import TransportEvent
from fedmq.transport.routes import to_node
from fedmq.transport.spool import Spool
from fedmq.types import ORCHESTRATOR, Digest, ExperimentId, NodeId
from tests.support.mandates import mandate
from tests.support.tiny_plan import SOURCE, write_cases

LYON: Final = NodeId("chu-lyon")
LUNG: Final = ExperimentId("lung")
PLAN: Final = PlanReference(name="tiny", digest=plan_digest(SOURCE.encode()), is_shipped=True)
DEADLINE_S: Final = 60.0


class Desk:
    """An orchestrator that asks and keeps what it hears."""

    def __init__(self, folder: Path, broker: MemoryBroker) -> None:
        self.accepted: list[Message] = []
        self.folder = folder
        self.transport = MemoryTransport(broker, "orchestrator", self._take)
        self.journal = Journal(folder / "journal.sqlite", couriers.SCHEMA)
        self.courier = Courier(
            me="orchestrator",
            transport=self.transport,
            wire=PlainWire(),
            journal=self.journal,
            spool=Spool(LocalDisk(folder / "payloads")),
            clock=SystemClock(),
        )
        self.courier.attach(self)
        queues = topology.experiment_queues(LUNG, ORCHESTRATOR)
        self.transport.declare(queues)
        for one in queues:
            self.transport.consume(one.name, prefetch=8)
        self.transport.start()

    def _take(self, event: TransportEvent) -> None:
        self.courier.handle(event)

    def accept(self, message: Message) -> None:
        """Keep it."""
        self.accepted.append(message)

    def wants_payload(self, _message: Message) -> bool:
        """All wait for it."""
        return True

    def expect(self, _message: Message) -> bool:
        """Updates are pushed."""
        return False

    def hear(self, message: Message) -> None:
        """Answer a greeting; signs of life are of no interest here."""
        if isinstance(message.body, Hello):
            welcome = self.courier.write(Welcome(nonce=message.body.nonce), "w", LYON, Place())
            self.courier.say(welcome, to_node(LYON))

    def fetched(self, digest: Digest) -> None:
        """Nothing waits for it here."""

    def keeps(self, _digest: Digest) -> bool:
        """All that is here."""
        return True

    def may_fetch(self, _sender: str, _digest: Digest) -> bool:
        """Nodes may have models."""
        return True

    def turned_away(self, _message: TurnedAway) -> None:
        """The journal has it."""


class Federation:
    """A desk and a node whose loop the test turns."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "node"
        self.events: queue.SimpleQueue[WorkerEvent] = queue.SimpleQueue()
        self.broker = MemoryBroker(topology.federation(nodes=[LYON], researchers=[]))
        records = open_records(LocalHome(self.home))
        records.datasets.add("petct", write_cases(folder / "cases", 5), now=0.0)
        records.close()
        self.desk = Desk(folder / "desk", self.broker)
        save_parameters({"w": np.zeros(3, np.float32)}, self.desk.folder / "payloads" / "new")
        self.model = self.desk.courier.spool.adopt("new")
        self.live()

    def live(self) -> None:
        """Begin a life of the node."""
        self.service = NodeService(
            node=LYON,
            home=LocalHome(self.home),
            make_transport=self._make_transport,
            wire=PlainWire(),
            make_worker=self._make_worker,
            clock=SystemClock(),
            version="0.1",
            keep_incident=CappedLog(self.home / INCIDENTS_NAME).write,
            read_policy=lambda: RELAXED,
            read_dependencies=dict,
        )
        self.service.start()

    def die(self) -> None:
        """End a life of the node; what its process started ends with it."""
        self.worker.close()
        self.transport.disconnect()
        self.service._records.close()

    def approve(self) -> None:
        """Approve the plan from another process, whether or not somebody asked for it."""
        records = open_records(LocalHome(self.home))
        approve_plan(records, PLAN, SOURCE, Asked(researcher="ana", dataset="petct"), now=1.0)
        records.close()

    def _make_transport(self, _sink: Callable[[TransportEvent], None]) -> MemoryTransport:
        self.transport = MemoryTransport(self.broker, LYON, self._take)
        return self.transport

    def _make_worker(self, _sink: Callable[[WorkerEvent], None]) -> Worker:
        self.worker = Worker(self.home / "scratch", self.events.put)
        return self.worker

    def _take(self, event: TransportEvent) -> None:
        self.service.handle(event)

    def ask(self, body: Body, message_id: str, number: int = 0) -> None:
        """Ask the node, and push the model."""
        place = Place(experiment=LUNG, round=number)
        message = self.desk.courier.write(body, message_id, LYON, place)
        with self.desk.courier.transaction():
            self.desk.courier.post(message, to_node(LYON))
        if number:
            self.desk.courier.push(self.model, [to_node(LYON)], LUNG)

    def wait(self, is_there: Callable[[], bool]) -> None:
        """Let everything happen until something is there."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_there():
            assert time.monotonic() < deadline, "it did not come"
            self.broker.run_until_idle()
            with contextlib.suppress(queue.Empty):
                self.service.handle(self.events.get(timeout=0.05))
            self.service.tick()
            self.desk.courier.tick()

    def answer(self, count: int) -> Body:
        """Return the answer that is the `count`-th, once it is there."""
        self.wait(lambda: len(self.desk.accepted) >= count)
        assert len(self.desk.accepted) == count
        return self.desk.accepted[-1].body

    def files(self) -> list[str]:
        """Return the names of the files that may hold parameters."""
        names = [path.name for path in (self.home / "payloads").iterdir()]
        return sorted(names + [path.name for path in (self.home / "scratch").glob("*.output")])


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """Return a node and who asks it."""
    made = Federation(tmp_path)
    yield made
    made.service.close()
    made.desk.journal.close()


def order(mood: str, initial: Manifest) -> Mandate:
    """Return what a researcher orders."""
    return mandate(PLAN, config={"mood": mood}, seed=11, validation_share=0.4, initial=initial)


def prepare(model: Manifest, mood: str) -> PrepareRequest:
    """Return the question whether the node takes part."""
    return PrepareRequest(mandate=order(mood, model), plan_source=SOURCE)


def train(model: Manifest, mood: str = "learn") -> TrainRequest:
    """Return an order to train."""
    return TrainRequest(mandate=order(mood, model), parameters=model)


def test_an_experiment_from_the_question_to_its_end(federation: Federation) -> None:
    """Refused, approved, counted; trained and evaluated on those counts; a plan that dies; over."""
    model = federation.model
    federation.ask(prepare(model, "learn"), "lung.prepare")
    refused = federation.answer(1)
    assert isinstance(refused, Refusal)
    federation.approve()
    counted = federation.answer(2)
    assert isinstance(counted, PrepareReply)
    assert (counted.num_training_cases, counted.num_validation_cases) == (3, 2)
    assert counted.head is not None

    federation.ask(train(model), "lung.1.train", 1)
    trained = federation.answer(3)
    assert isinstance(trained, TrainReply)
    total = trained.metrics["total"].numerator
    assert (trained.num_cases, total) in {(3, 15.0 - left_out) for left_out in range(3, 10)}
    update = federation.desk.courier.spool.path(trained.update.digest)
    assert load_parameters(update)["w"].tolist() == [total] * 3

    federation.ask(
        EvaluateRequest(**train(model).model_dump(exclude={"counted"})), "lung.1.evaluate", 1
    )
    evaluated = federation.answer(4)
    assert isinstance(evaluated, EvaluateReply)
    assert (evaluated.num_cases, evaluated.metrics["sum"].numerator) == (2, 0.0)

    for number, (mood, code) in enumerate(
        [
            ("dies", FailureCode.WORKER_DIED),
            ("nan", FailureCode.UPDATE_NOT_FINITE),
            ("fails", FailureCode.TRAINING_ERROR),
        ],
        start=2,
    ):
        federation.ask(train(model, mood), f"lung.{number}.train", number)
        failed = federation.answer(number + 3)
        assert isinstance(failed, Failure)
        assert failed.code is code
        notes = (federation.home / "incidents.log").read_text()
        assert failed.incident in notes
        assert "Doe" not in notes

    assert federation.worker.pids == (), "whose task broke is not used again"
    federation.ask(train(model), "lung.5.train", 5)
    assert isinstance(federation.answer(8), TrainReply)
    assert federation.worker.pids
    over = ExperimentOver(state="finished", reason="")
    federation.ask(over, "lung.over")
    federation.wait(lambda: not federation.files())
    assert federation.worker.pids == ()


def test_a_case_that_is_gone_stops_the_task_until_it_is_back(federation: Federation) -> None:
    """The researcher hears a code, the site which case; a new one is for the next experiment."""
    federation.approve()
    federation.ask(prepare(federation.model, "learn"), "lung.prepare")
    federation.answer(1)
    cases = federation.home.parent / "cases"
    place = (cases / "case-2").rename(cases.parent / "away")
    (cases / "case-6").mkdir()
    federation.ask(train(federation.model), "lung.1.train", 1)
    failed = federation.answer(2)
    assert isinstance(failed, Failure)
    assert failed.code is FailureCode.DATASET_ERROR
    assert "case-2 is gone" in (federation.home / "incidents.log").read_text()
    place.rename(cases / "case-2")
    federation.ask(train(federation.model), "lung.2.train", 2)
    trained = federation.answer(3)
    assert isinstance(trained, TrainReply)
    assert trained.num_cases == 3
    federation.ask(ExperimentOver(state="finished", reason=""), "lung.over")
    federation.wait(lambda: not federation.files())
    assert not federation.service._records.journal.rows("SELECT * FROM intakes")


def test_a_plan_that_floods_the_log_is_an_incident_of_the_site_alone(
    federation: Federation,
) -> None:
    """One entry in the audit log and a line beside it; the training counts, nobody is told."""
    federation.approve()
    federation.ask(prepare(federation.model, "prints"), "lung.prepare")
    federation.answer(1)
    federation.ask(train(federation.model, "prints"), "lung.1.train", 1)
    assert isinstance(federation.answer(2), TrainReply)
    (told,) = federation.service._records.audit.facts(IncidentHappened)
    assert (told.code, told.experiment, told.round) == ("log_overflowed", LUNG, 1)
    notes = (federation.home / "incidents.log").read_text()
    assert f"{told.incident} lung.1.train log_overflowed: it printed more than" in notes
    assert "the last words" not in notes


def test_a_node_that_is_killed_while_it_trains_does_it_again(federation: Federation) -> None:
    """Its trainer goes with it; the same task is begun by the next life, and cancelled there."""
    federation.approve()
    federation.ask(prepare(federation.model, "sleeps"), "lung.prepare")
    federation.answer(1)
    federation.ask(train(federation.model, "sleeps"), "lung.1.train", 1)
    federation.wait(lambda: federation.service._work.progress > 0.5)
    [pid] = federation.worker.pids
    federation.die()
    assert not (Path("/proc") / str(pid)).exists()
    federation.live()
    federation.wait(lambda: federation.service._work.progress > 0.5)
    federation.ask(ExperimentOver(state="stopped", reason=""), "lung.over")
    federation.wait(lambda: not federation.files())
    federation.wait(lambda: not federation.worker.pids)
    assert len(federation.desk.accepted) == 1
