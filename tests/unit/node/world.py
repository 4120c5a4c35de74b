"""A hospital's node on the memory broker, a worker that tests answer for, an orchestrator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from fedmq.disk import LocalDisk
from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.learning.catalogue import plan_digest
from fedmq.learning.trainer_protocol import Broken, Done, Job, JobKind
from fedmq.messages.codec import Message
from fedmq.messages.data import DatasetSummary
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest, PlanReference
from fedmq.messages.mandates import Mandate
from fedmq.messages.notices import ExperimentOver, Hello, Welcome
from fedmq.messages.registry import Body
from fedmq.messages.replies import Answer, FailureCode
from fedmq.messages.requests import (
    CancelRequest,
    Counted,
    EvaluateRequest,
    PrepareRequest,
    TrainRequest,
)
from fedmq.node.capped_log import INCIDENTS_NAME, CappedLog
from fedmq.node.containment import Containment
from fedmq.node.plans import Plans
from fedmq.node.policy import Policy
from fedmq.node.proposals import Wishes, choose_terms
from fedmq.node.records import open_records
from fedmq.node.service import NodeService
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.withdrawing import Withdrawn, withdraw_case
from fedmq.parameters import Parameters, load_parameters, save_parameters
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
from fedmq.transport.wires import Wire
from fedmq.types import ORCHESTRATOR, Digest, ExperimentId, NodeId
from tests.support.clock import FakeClock
from tests.support.mandates import mandate
from tests.support.tiny_plan import SOURCE, write_cases

LYON: Final = NodeId("chu-lyon")
LUNG: Final = ExperimentId("lung")
LIVER: Final = ExperimentId("liver")
DATASET: Final = "petct"
UNSETTLED: Final = ("tasks", "outbox", "waiting")
"""Tables that are empty when nothing is to be done."""
TINY: Final = PlanReference(name="tiny", digest=plan_digest(SOURCE.encode()), is_shipped=True)


RELAXED: Final = Policy(min_cases=1, min_nodes=1, require_study=False)
OWN: Final = Wishes(researcher="ana", datasets=(DATASET,))


class Killed(BaseException):
    """The process of the node was killed here."""


class FakeWorker:
    """Takes jobs; the test says what becomes of them."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.keys: list[TrainerKey] = []
        self.num_cancelled = 0
        self.ended_experiments: list[ExperimentId] = []
        self.ended_datasets: list[str] = []
        self.unused_looked_at: list[float] = []
        self.is_closed = False
        self.begun: Callable[[Job], None] = lambda _job: None

    def begin(self, key: TrainerKey, job: Job) -> None:
        """Note the job."""
        self.keys.append(key)
        self.jobs.append(job)
        self.begun(job)

    def cancel(self) -> None:
        """Count."""
        self.num_cancelled += 1

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Note it."""
        self.ended_experiments.append(experiment)

    def end_dataset(self, dataset: str) -> None:
        """Note it."""
        self.ended_datasets.append(dataset)

    def end_unused(self, now: float) -> None:
        """Note when."""
        self.unused_looked_at.append(now)

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


class Orchestrator:
    """Asks, and keeps every answer it accepts."""

    def __init__(self, world: "World", name: str = ORCHESTRATOR) -> None:
        self.accepted: list[Message] = []
        self.heard: list[Message] = []
        self.told: list[list[DatasetSummary]] = []
        """What the node told of its data, each time."""
        self.is_mute = False
        """Whether greetings are lost."""
        self.folder = world.folder / name
        self.transport = MemoryTransport(world.broker, name, self._take)
        self.journal = Journal(self.folder / "journal.sqlite", couriers.SCHEMA)
        self.courier = Courier(
            me=name,
            transport=self.transport,
            wire=world.wires[name],
            journal=self.journal,
            spool=Spool(LocalDisk(self.folder / "payloads")),
            clock=FakeClock(lambda: world.now),
        )
        self.courier.attach(self)
        self.transport.consume(topology.orchestrator_inbox(name), prefetch=1)
        self.transport.consume(topology.orchestrator_events(name), prefetch=16)
        for experiment in (LUNG, LIVER):
            queues = topology.experiment_queues(experiment, name)
            self.transport.declare(queues)
            for queue in queues:
                self.transport.consume(queue.name, prefetch=8)
        self.transport.start()

    def _take(self, event: TransportEvent) -> None:
        self.courier.handle(event)

    def accept(self, message: Message) -> None:
        """Keep it, without the head of the log."""
        body = message.body
        if isinstance(body, Answer):
            message = replace(message, body=body.model_copy(update={"head": None}))
        self.accepted.append(message)

    def wants_payload(self, _message: Message) -> bool:
        """All wait for it."""
        return True

    def expect(self, _message: Message) -> bool:
        """Updates are pushed."""
        return False

    def hear(self, message: Message) -> None:
        """Answer a greeting; keep everything else, apart."""
        match message.body:
            case Hello() if self.is_mute:
                pass
            case Hello(nonce=nonce, datasets=datasets):
                self.told.append(datasets)
                welcome = self.courier.write(Welcome(nonce=nonce), "welcome", LYON, Place())
                self.courier.say(welcome, to_node(LYON))
            case _:
                self.heard.append(message)

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

    def ask(
        self,
        body: Body,
        message_id: str,
        place: Place,
        expires_at: float | None = None,
    ) -> None:
        """Send a request to the node."""
        message = self.courier.write(body, message_id, LYON, place, expires_at=expires_at)
        with self.courier.transaction():
            self.courier.post(message, to_node(LYON))

    def make_model(self, parameters: Parameters) -> Manifest:
        """Return the manifest of a model on the orchestrator's disk."""
        save_parameters(parameters, self.folder / "payloads" / "new")
        return self.courier.spool.adopt("new")

    @property
    def answers(self) -> list[Body]:
        """What was answered, in order."""
        return [message.body for message in self.accepted]


class World:
    """A broker, an orchestrator and one hospital, whose node may be killed."""

    def __init__(
        self,
        folder: Path,
        *,
        policy: Policy = RELAXED,
        wires: Mapping[str, Wire] = MappingProxyType({}),
        others: Sequence[str] = (),
    ) -> None:
        """`others`: orchestrators beside the usual one."""
        self.folder = folder
        names = (ORCHESTRATOR, *others)
        self.wires = {**dict.fromkeys((*names, LYON), PlainWire(names)), **wires}
        self.home = folder / "node"
        self.policy = policy
        self.read_policy: Callable[[], Policy] = lambda: self.policy
        self.containment: Containment | None = None
        self.max_threads = 1
        self.dependencies = {"torch": "2.5"}
        self.now = 1_000.0
        self.calls_left: int | None = None
        """The node is killed when it has asked for the time so often."""
        self.reminders: list[float] = []
        """When the node asked whether its operator is to be reminded."""
        self.num_trained = 0
        self.is_answering = False
        """Whether the worker does each job at once."""
        folder.mkdir(exist_ok=True)
        self.broker = MemoryBroker(
            topology.federation(nodes=[LYON], researchers=[], orchestrators=names)
        )
        records = open_records(LocalHome(self.home))
        records.datasets.add(DATASET, write_cases(folder / "cases", 5), now=self.now)
        records.close()
        self.orchestrator = Orchestrator(self)
        self.others = [Orchestrator(self, name) for name in others]
        self.model = self.orchestrator.make_model({"w": np.zeros(3, np.float32)})
        self.live()
        self.run()

    # The node's lives.

    def live(self) -> None:
        """Begin a life with what is on the disk."""
        self.is_alive = True
        self.worker = FakeWorker()
        self.worker.begun = self._begun
        self.service = NodeService(
            node=LYON,
            home=LocalHome(self.home),
            make_transport=self._make_transport,
            wire=self.wires[LYON],
            make_worker=lambda _sink: self.worker,
            clock=FakeClock(self.clock),
            version="0.1",
            keep_incident=CappedLog(self.home / INCIDENTS_NAME).write,
            read_policy=self.read_policy,
            containment=self.containment,
            max_threads=self.max_threads,
            read_dependencies=lambda: self.dependencies,
            make_incident=lambda: "1ncident",
            remind=lambda: self.reminders.append(self.now),
        )
        self.service.start()

    def die(self) -> None:
        """End a life without a word."""
        self.is_alive = False
        self.calls_left = None
        self.transport.disconnect()
        self.service._records.close()

    def close(self) -> None:
        """End the test."""
        if self.is_alive:
            self.service.close()
        for one in (self.orchestrator, *self.others):
            one.journal.close()

    def clock(self) -> float:
        """Return the time; or kill the node, if it has asked often enough."""
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                raise Killed
        return self.now

    def take(self, event: object) -> None:
        """Hand an event to the node, if it lives."""
        if self.is_alive:
            self.service.handle(event)  # type: ignore[arg-type]

    def _make_transport(self, _sink: Callable[[TransportEvent], None]) -> MemoryTransport:
        transport = MemoryTransport(
            self.broker, LYON, lambda event: self._take_of(transport, event)
        )
        self.transport = transport
        return transport

    def _take_of(self, transport: MemoryTransport, event: TransportEvent) -> None:
        if transport is self.transport:
            self.take(event)

    def run(self, seconds: float = 0.0) -> None:
        """Let everything happen, then time pass and everything happen again."""
        self.broker.run_until_idle()
        for _ in range(int(seconds)):
            self.now += 1.0
            if self.is_alive:
                self.service.tick()
            for one in (self.orchestrator, *self.others):
                one.courier.tick()
            self.broker.run_until_idle()

    def settle(self) -> None:
        """Let time pass until everything is answered and receipted."""
        for _ in range(400):
            unsent = self.orchestrator.courier.num_unsent
            if not unsent + sum(self.rows(name) for name in UNSETTLED):
                return
            self.run(seconds=1)
        raise AssertionError("something is still waiting")

    # The operator.

    @property
    def plans(self) -> Plans:
        """The plans, as the command line sees them."""
        return open_records(LocalHome(self.home)).plans

    def approve(
        self, word: str = "tiny", *, person: str = "an operator", wishes: Wishes = OWN
    ) -> None:
        """Approve a plan from another process."""
        records = open_records(LocalHome(self.home))
        plans, now = records.plans, self.now
        record = plans.find(word)
        terms = choose_terms(plans, record, wishes, self.policy, self.dependencies, now=now)
        plans.approve(record, terms, person, needed=self.policy.approvals_needed, now=now)
        records.close()

    def reject(self, word: str = "tiny") -> None:
        """Reject a plan from another process."""
        records = open_records(LocalHome(self.home))
        records.plans.reject(records.plans.find(word), "not here", now=self.now)
        records.close()

    def withdraw(self, case: str) -> Withdrawn:
        """Withdraw a case from another process."""
        records = open_records(LocalHome(self.home), FakeClock(lambda: self.now), by="ann")
        withdrawn = withdraw_case(records, DATASET, case, reason="asked", now=self.now)
        records.close()
        return withdrawn

    # The orchestrator's requests.

    def prepare(
        self,
        experiment: str = LUNG,
        *,
        plan: PlanReference = TINY,
        source: str | None = SOURCE,
        dataset: str = DATASET,
        **others: Any,  # noqa: ANN401 - fields of the spec
    ) -> None:
        """Ask whether the node takes part."""
        said = {"config": {"mood": "learn"}, "seed": 3, "validation_share": 0.4, "num_rounds": 3}
        order = mandate(plan, experiment=experiment, dataset=dataset, **{**said, **others})
        body = PrepareRequest(mandate=order, plan_source=source)
        place = Place(experiment=experiment)
        self.orchestrator.ask(body, f"{experiment}.prepare.{LYON}", place)
        self.run()

    def agree(self, experiment: str = LUNG) -> None:
        """Ask, approve, and have the cases counted."""
        self.prepare(experiment)
        self.approve()
        self.run(seconds=2)
        self.done()

    def train(  # noqa: PLR0913 - what a test may want otherwise
        self,
        number: int = 1,
        *,
        experiment: str = LUNG,
        attempt: int = 0,
        expires_at: float | None = None,
        model: Manifest | None = None,
        is_pushed: bool = True,
        num_steps: int | None = None,
        counted: Counted | None = None,
        **others: Any,  # noqa: ANN401 - fields of the spec
    ) -> None:
        """Order training, and push the model; let everything follow, or so many steps."""
        place = Place(experiment=experiment, round=number, attempt=attempt)
        model = model or self.model
        order = _order(experiment, model, **others)
        body = TrainRequest(mandate=order, parameters=model, counted=counted)
        message_id = f"{experiment}.{number}.{attempt}.train.{LYON}"
        self.orchestrator.ask(body, message_id, place, expires_at)
        if is_pushed:
            self.orchestrator.courier.push(model, [to_node(LYON)], experiment)
        if num_steps is None:
            self.run()
        for _ in range(num_steps or 0):
            self.broker.step()

    def evaluate(self, number: int = 1, *, experiment: str = LUNG, attempt: int = 0) -> None:
        """Order an evaluation, and push the model."""
        place = Place(experiment=experiment, round=number, attempt=attempt)
        message_id = f"{experiment}.{number}.{attempt}.evaluate.{LYON}"
        order = _order(experiment, self.model)
        body = EvaluateRequest(mandate=order, parameters=self.model)
        self.orchestrator.ask(body, message_id, place)
        self.orchestrator.courier.push(self.model, [to_node(LYON)], experiment)
        self.run()

    def idle(self) -> None:
        """Ask nothing."""

    def cancel(self, before_attempt: int, experiment: str = LUNG) -> None:
        """Cancel older attempts."""
        place = Place(experiment=experiment)
        body = CancelRequest(before_attempt=before_attempt)
        self.orchestrator.ask(body, f"{experiment}.cancel.{before_attempt}", place)
        self.run()

    def over(self, experiment: str = LUNG) -> None:
        """Say that an experiment is over."""
        place = Place(experiment=experiment)
        body = ExperimentOver(state="finished", reason="")
        self.orchestrator.ask(body, f"{experiment}.over.{LYON}", place)
        self.run()

    # The worker's answers.

    @property
    def job(self) -> Job:
        """The newest job."""
        return self.worker.jobs[-1]

    def done(
        self,
        job: Job | None = None,
        *,
        local: Parameters | None = None,
        num_cases: int = 4,
        unreadable: tuple[str, ...] = (),
    ) -> None:
        """The worker did its newest job; `local` is what it trained, by default one more each."""
        job = job or self.job
        if job.kind is JobKind.TRAIN and job.output_path and job.parameters_path:
            before = load_parameters(Path(job.parameters_path))
            if local is None:
                local = {name: array + array.dtype.type(1) for name, array in before.items()}
            save_parameters(local, Path(job.output_path))
        self.say_done(job, num_cases, unreadable)

    def say_done(self, job: Job, num_cases: int = 4, unreadable: tuple[str, ...] = ()) -> None:
        """The worker says that it did a job."""
        self.take(replace(self.finished(job, num_cases=num_cases), unreadable=unreadable))
        self.run()

    def finished(self, job: Job, *, num_cases: int = 4, num_training_cases: int = 4) -> Done:
        """Return what the worker says of a job that is done."""
        return Done(
            job_id=job.job_id,
            num_cases=num_cases,
            metrics={"loss": (2.0, 4.0)},
            num_training_cases=num_training_cases,
            num_validation_cases=1,
            num_cases_left_out=0,
            cases=cases_of(job),
        )

    def broken(self, code: FailureCode, what: str = "patient Doe") -> None:
        """The worker's newest job broke."""
        self.take(Broken(job_id=self.job.job_id, code=code, what=what))
        self.run()

    def _begun(self, job: Job) -> None:
        self.num_trained += job.kind is JobKind.TRAIN
        if self.is_answering:
            worker = self.worker
            self.broker.later(lambda: self._answer(worker, job))

    def _answer(self, worker: FakeWorker, job: Job) -> None:
        if self.is_alive and worker is self.worker:
            self.done(job)

    # What is on the node's disk.

    def rows(self, table: str) -> int:
        """Return how many rows a table has."""
        count = self.service._records.journal.cell(f"SELECT count(*) FROM {table}")  # noqa: S608
        return int(count or 0)

    def files(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of the node's home."""
        return sorted(path.name for path in (self.home / folder).iterdir())


def cases_of(job: Job) -> tuple[str, ...]:
    """Return the names of the cases that a trainer gives the plan."""
    withdrawn = dict(job.withdrawn)
    training, validation = split_cases(
        find_cases(Path(job.dataset_folder), without=withdrawn),
        seed=job.split_seed,
        validation_share=job.validation_share,
        withdrawn=withdrawn,
    )
    cases = {JobKind.TRAIN: training, JobKind.EVALUATE: validation}.get(job.kind, ())
    return tuple(case.case_id for case in cases)


def _order(
    experiment: str,
    initial: Manifest,
    *,
    plan: PlanReference = TINY,
    **others: Any,  # noqa: ANN401 - fields of the spec, and the researcher
) -> Mandate:
    """Return the mandate of an order of work."""
    said = {"config": {"mood": "learn"}, "seed": 11, "dataset": DATASET}
    return mandate(plan, experiment=experiment, initial=initial, **{**said, **others})
