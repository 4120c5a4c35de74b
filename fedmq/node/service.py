"""The node: takes requests, asks its policy, has the work done, answers.

inbox (journal) -> policy -> tasks -> worker -> outbox (journal) -> broker. Each step is on the disk
before the next; a node that is killed redoes at most the task it had in hand, with the same seed.
"""

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog

from fedmq.disk import LocalDisk
from fedmq.errors import ParametersError
from fedmq.learning.trainer_protocol import Broken, Done, Job, Progress
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.fields import RatioField
from fedmq.messages.notices import Activity, ExperimentOver, Heartbeat, NodeOnline
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    FailureCode,
    PingReply,
    PrepareReply,
    Refusal,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.requests import (
    CancelRequest,
    EvaluateRequest,
    PingRequest,
    PrepareRequest,
    TrainRequest,
)
from fedmq.node import datasets, plans, tasks
from fedmq.node.datasets import Datasets
from fedmq.node.jobs import make_job, make_update
from fedmq.node.plans import Asked, Plans, installed_digest
from fedmq.node.policy import Limits, Situation, judge_request, judge_work
from fedmq.node.tasks import Task, Tasks
from fedmq.node.worker import TrainerKey, WorkerEvent
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.journal import Journal
from fedmq.transport.loop import Loop
from fedmq.transport.ports import Connected, Sink, Transport, TransportEvent
from fedmq.transport.routes import from_node
from fedmq.transport.spool import Spool
from fedmq.types import Digest, ExperimentId, NodeId

SCHEMA: Final = couriers.SCHEMA + datasets.SCHEMA + plans.SCHEMA + tasks.SCHEMA
HEARTBEAT_S: Final = 5.0
TASKS_PREFETCH: Final = 16
PAYLOADS_PREFETCH: Final = 8

Request = PrepareRequest | TrainRequest | EvaluateRequest
Event = TransportEvent | WorkerEvent

log = structlog.get_logger()


class WorkerPort(Protocol):
    """What does the work, one job at a time; see `fedmq.node.worker.Worker`."""

    def begin(self, key: TrainerKey, job: Job, num_threads: int) -> None:
        """Begin a job; its events come to the sink."""

    def cancel(self) -> None:
        """End the job in hand without a word."""

    def close(self) -> None:
        """End for good."""


def open_journal(home: Path) -> Journal:
    """Return the journal of a node's home; the service and the command line share it."""
    return Journal(home / "journal.sqlite", SCHEMA)


class NodeService:
    """One node, driven by its loop; in tests by `handle` and `tick`."""

    def __init__(  # noqa: PLR0913 - everything that the outside gives a node
        self,
        *,
        node: NodeId,
        home: Path,
        make_transport: Callable[[Sink], Transport],
        make_worker: Callable[[Callable[[WorkerEvent], None]], WorkerPort],
        clock: Callable[[], float],
        version: str,
        orchestrator: str = "orchestrator",
        limits: Limits | None = None,
    ) -> None:
        self.loop: Loop[Event] = Loop()
        self._node = node
        self._clock = clock
        self._version = version
        self._orchestrator = orchestrator
        self._limits = limits or Limits()
        self._journal = open_journal(home)
        self._datasets = Datasets(self._journal)
        self._plans = Plans(self._journal, home / "plans")
        self._tasks = Tasks(self._journal)
        self._disk = LocalDisk(home / "payloads")
        self._spool = Spool(self._disk)
        self._transport = make_transport(self.loop.put)
        self._worker = make_worker(self.loop.put)
        self._courier = Courier(
            me=node,
            transport=self._transport,
            journal=self._journal,
            spool=self._spool,
            clock=clock,
            only_from=orchestrator,
        )
        self._current: Task | None = None
        self._began_at = 0.0
        self._progress = 0.0
        self._heartbeat_at = clock()
        self._after: list[Callable[[], None]] = []

    # The life of the service.

    def start(self) -> None:
        """Read the queues, and go on with the work that is there."""
        self._transport.consume(topology.node_tasks(self._node), prefetch=TASKS_PREFETCH)
        self._transport.consume(topology.node_payloads(self._node), prefetch=PAYLOADS_PREFETCH)
        self._courier.attach(self)
        self._transport.start()
        self._go_on()

    def run(self) -> None:
        """Serve until the loop is stopped."""
        self.start()
        log.info("node_started", node=self._node, version=self._version, waiting=len(self._tasks))
        try:
            self.loop.run(self.handle, self.tick)
        finally:
            self.close()

    def close(self) -> None:
        """End the work in hand, which is done again at the next start; let go of the broker."""
        self._worker.close()
        self._transport.close()
        self._journal.close()

    def handle(self, event: Event) -> None:
        """Take an event of the transport or of the worker."""
        match event:
            case Progress(job_id=job_id, share=share):
                if self._is_current(job_id):
                    self._progress = share
            case Done():
                self._take_result(event)
            case Broken():
                self._take_failure(event)
            case _:
                before = self._courier.trouble
                self._courier.handle(event)
                if self._courier.trouble != before:
                    log.info("broker_link_changed", trouble=self._courier.trouble or "none")
                if isinstance(event, Connected):
                    self._tell(NodeOnline(version=self._version), "online")
        self._go_on()

    def tick(self) -> None:
        """Let time pass: repeats, decisions of the operator, the heartbeat."""
        self._courier.tick()
        self._answer_decided()
        self._go_on()
        if self._clock() >= self._heartbeat_at:
            self._heartbeat_at = self._clock() + HEARTBEAT_S
            self._tell_heartbeat()

    # What the courier asks (`fedmq.transport.courier.Receiver`).

    def accept(self, message: Message) -> None:
        """Make of a request what follows, inside its transaction."""
        envelope = message.envelope
        match message.body:
            case PrepareRequest() as request:
                self._take_prepare(message, request)
            case TrainRequest() | EvaluateRequest() as work:
                self._take_work(message, work)
            case CancelRequest(before_attempt=before):
                self._cancel(envelope, before)
            case ExperimentOver(state=state):
                self._end(envelope.experiment)
                log.info("experiment_over", experiment=envelope.experiment, state=state)
            case PingRequest(asked_at=asked_at):
                self._answer(envelope, PingReply(asked_at=asked_at))
            case _:
                log.info("message_ignored", kind=envelope.type)

    def expect(self, _message: Message) -> bool:
        """Models are pushed; what misses is asked for after a while."""
        return False

    def hear(self, _message: Message) -> None:
        """Nodes listen to no events."""

    def fetched(self, digest: Digest) -> None:
        """A model is here; the request that needs it follows."""

    def may_fetch(self, sender: str, digest: Digest) -> bool:
        """The orchestrator may have the updates that this node made; nobody anything else."""
        return sender == self._orchestrator and self._tasks.is_update(digest)

    # Requests.

    def _take_prepare(self, message: Message, request: PrepareRequest) -> None:
        envelope = message.envelope
        asked = Asked(
            experiment=envelope.experiment,
            researcher=request.researcher,
            purpose=request.purpose,
        )
        self._plans.ask(request.plan, request.plan_source, asked, now=self._clock())
        code = self._judge(envelope, request)
        if code is RefusalCode.PLAN_AWAITS_APPROVAL:
            self._tasks.leave_undecided(message)
        if code is None:
            self._tasks.add(message)
        else:
            self._refuse(envelope, code)

    def _take_work(self, message: Message, work: TrainRequest | EvaluateRequest) -> None:
        envelope = message.envelope
        code = self._judge(envelope, work) or judge_work(
            envelope, work.parameters.size_bytes, self._limits, now=self._clock()
        )
        if code is not None:
            self._refuse(envelope, code)
            return
        experiment, number = envelope.experiment, envelope.round
        self._tasks.add(message)
        self._tasks.keep_payload(work.parameters.digest, experiment, number, is_update=False)
        self._release(self._tasks.release_payloads(experiment, before=number))

    def _judge(self, envelope: Envelope, request: Request) -> RefusalCode | None:
        dataset = self._datasets.find(request.dataset)
        plan = request.plan
        situation = Situation(
            num_cases=None if dataset is None else dataset.num_cases,
            decision=self._plans.decision(plan.digest),
            installed=None if plan.is_shipped else installed_digest(plan.name),
            source=self._plans.source_digest(plan.digest) if plan.is_shipped else None,
            is_over=self._tasks.is_over(envelope.experiment),
        )
        return judge_request(plan, situation, self._limits)

    def _cancel(self, envelope: Envelope, before_attempt: int) -> None:
        task = self._tasks.next()
        while task is not None and task.request.envelope.attempt < before_attempt:
            self._tasks.remove(task.task_id)
            task = self._tasks.next()
        log.info("tasks_cancelled", experiment=envelope.experiment)

    def _end(self, experiment: str) -> None:
        self._tasks.end(experiment)
        self._courier.drop(experiment)
        self._release(self._tasks.release_payloads(experiment))

    def _release(self, digests: tuple[Digest, ...]) -> None:
        for digest in digests:
            self._after.append(partial(self._spool.remove, digest))

    # Work.

    def _go_on(self) -> None:
        """Do what waited for the journal; begin the next task if nothing is in hand."""
        while self._after:
            self._after.pop(0)()
        if self._current is not None and not self._tasks.has(self._current.task_id):
            # Cancelled, or of a round that went by.
            self._worker.cancel()
            self._current = None
        while self._current is None:
            task = self._tasks.next()
            if task is None:
                return
            self._begin(task)

    def _begin(self, task: Task) -> None:
        request = task.request
        envelope, body = request.envelope, request.body
        if not isinstance(body, PrepareRequest | TrainRequest | EvaluateRequest):
            return
        code = self._judge(envelope, body)
        if code is None and not isinstance(body, PrepareRequest):
            code = judge_work(envelope, body.parameters.size_bytes, self._limits, now=self._clock())
        dataset = self._datasets.find(body.dataset)
        if code is not None or dataset is None:
            with self._courier.transaction():
                self._tasks.remove(task.task_id)
                self._refuse(envelope, code or RefusalCode.UNKNOWN_DATASET)
            return
        self._current, self._began_at, self._progress = task, self._clock(), 0.0
        key = TrainerKey(
            experiment=ExperimentId(envelope.experiment),
            plan_digest=body.plan.digest,
            dataset=body.dataset,
        )
        output = self._disk.path(self._output(task))
        job = make_job(request, dataset, self._plans, self._spool, output)
        num_threads = 1 if isinstance(body, PrepareRequest) else body.num_threads
        self._worker.begin(key, job, num_threads)
        log.info(
            "task_started", kind=envelope.type, experiment=envelope.experiment, round=envelope.round
        )

    def _take_result(self, done: Done) -> None:
        task = self._current
        if task is None or not self._is_current(done.job_id):
            return
        self._current = None
        if not self._tasks.has(task.task_id):
            return
        metrics = {
            name: RatioField(numerator=numerator, denominator=denominator)
            for name, (numerator, denominator) in done.metrics.items()
        }
        seconds = max(0.0, self._clock() - self._began_at)
        match task.request.body:
            case TrainRequest() as request:
                self._finish_training(task, request, done, metrics, seconds)
            case EvaluateRequest():
                reply = EvaluateReply(num_cases=done.num_cases, metrics=metrics, duration_s=seconds)
                self._finish(task, reply)
            case _:
                counts = PrepareReply(
                    num_training_cases=done.num_training_cases,
                    num_validation_cases=done.num_validation_cases,
                )
                self._finish(task, counts)
        log.info(
            "task_done",
            kind=task.request.envelope.type,
            experiment=task.request.envelope.experiment,
            round=task.request.envelope.round,
            seconds=round(seconds, 3),
        )

    def _finish_training(
        self,
        task: Task,
        request: TrainRequest,
        done: Done,
        metrics: dict[str, RatioField],
        seconds: float,
    ) -> None:
        envelope = task.request.envelope
        output = self._output(task)
        try:
            make_update(self._disk.path(output), self._spool.path(request.parameters.digest))
        except ParametersError:
            self._fail(task, FailureCode.UPDATE_MISSHAPEN, "the output does not fit the model")
            return
        update = self._spool.adopt(output)
        reply = TrainReply(
            update=update, num_cases=max(1, done.num_cases), metrics=metrics, duration_s=seconds
        )
        with self._courier.transaction():
            self._tasks.keep_payload(
                update.digest, envelope.experiment, envelope.round, is_update=True
            )
            self._finish(task, reply)
        route = from_node(self._node, envelope.experiment)
        self._courier.push(update, [route], envelope.experiment)

    def _take_failure(self, broken: Broken) -> None:
        task = self._current
        if task is None or not self._is_current(broken.job_id):
            return
        self._current = None
        self._disk.remove(self._output(task))
        if self._tasks.has(task.task_id):
            self._fail(task, broken.code, broken.what)

    def _fail(self, task: Task, code: FailureCode, what: str) -> None:
        envelope = task.request.envelope
        incident = secrets.token_hex(4)
        failure = Failure(code=code, request_type=envelope.type, incident=incident)
        self._finish(task, failure)
        log.warning(
            "task_failed",
            kind=envelope.type,
            experiment=envelope.experiment,
            round=envelope.round,
            code=str(code),
            incident=incident,
            reason=what,
        )

    def _finish(self, task: Task, body: Body) -> None:
        with self._courier.transaction():
            self._tasks.remove(task.task_id)
            self._answer(task.request.envelope, body)

    def _is_current(self, job_id: str) -> bool:
        return self._current is not None and self._current.task_id == job_id

    def _output(self, task: Task) -> str:
        return f"{task.task_id}.output"

    # Answers and signs of life.

    def _answer_decided(self) -> None:
        """Answer again what waited for the operator, once there is a decision."""
        for message, request in self._tasks.undecided():
            code = self._judge(message.envelope, request)
            if code is RefusalCode.PLAN_AWAITS_APPROVAL:
                continue
            with self._courier.transaction():
                self._tasks.decided(message.envelope.experiment)
                if code is None:
                    self._tasks.add(message)
                else:
                    self._refuse(message.envelope, code, again=True)

    def _refuse(self, envelope: Envelope, code: RefusalCode, *, again: bool = False) -> None:
        self._answer(envelope, Refusal(code=code, request_type=envelope.type), again=again)
        log.info(
            "request_refused", kind=envelope.type, experiment=envelope.experiment, code=str(code)
        )

    def _answer(self, envelope: Envelope, body: Body, *, again: bool = False) -> None:
        message_id = f"{envelope.message_id}.{'decided' if again else body.TYPE}"
        message = self._courier.write(
            body, message_id, envelope.sender, envelope.place, answers=envelope
        )
        self._courier.post(message, from_node(self._node, envelope.experiment))

    def _tell_heartbeat(self) -> None:
        task = self._current
        self._tell(
            Heartbeat(
                version=self._version,
                activity=self._activity(),
                progress=self._progress if task is not None else 0.0,
                num_waiting=len(self._tasks),
            ),
            "heartbeat",
            Place() if task is None else task.request.envelope.place,
        )

    def _activity(self) -> Activity:
        if self._current is not None:
            if isinstance(self._current.request.body, TrainRequest):
                return Activity.TRAINING
            return Activity.EVALUATING
        if self._courier.is_sending:
            return Activity.SENDING
        return Activity.RECEIVING if self._courier.num_awaited else Activity.IDLE

    def _tell(self, body: Body, kind: str, place: Place | None = None) -> None:
        message_id = f"{kind}.{int(self._clock())}"
        message = self._courier.write(body, message_id, "-", place or Place())
        self._courier.tell(message, kind)
