"""Work: the one task that a node has in hand, from its beginning to its answer."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final, Protocol, assert_never

import structlog

from fedmq.clocks import Clock
from fedmq.encodings.kinds import EXACT
from fedmq.errors import TrainingError
from fedmq.learning.trainer_protocol import Broken, Done, Job, Progress
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Manifest, RatioField
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    FailureCode,
    PrepareReply,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.answers import Answers, reply_id
from fedmq.node.audit_words import answer_of
from fedmq.node.jobs import Jobs
from fedmq.node.policy import Decision, Objection, judge_data
from fedmq.node.reception import Reception
from fedmq.node.records import Records
from fedmq.node.residuals import ResidualKey
from fedmq.node.storage import Storage
from fedmq.node.tasks import State, Task, product_bytes
from fedmq.node.updates import Feedback, JobError, make_update
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.withdrawals import Withdrawal
from fedmq.node.worker import LOG_NAME, Flooded, WorkerEvent
from fedmq.transport.courier import Courier
from fedmq.transport.routes import from_node
from fedmq.types import Digest, ExperimentId, NodeId

_OF_ROOM: Final = frozenset({FailureCode.DISK_FULL, FailureCode.WORKER_DIED})
"""How a trainer ends where its disk is full."""

_FLOODED: Final = "log_overflowed"
_UNREADABLE: Final = "volumes_unreadable"
"""Of incidents that are no failures: no message carries them."""

log = structlog.get_logger()


class WorkerPort(Protocol):
    """What does the work, one job at a time; see `fedmq.node.worker.Worker`."""

    def begin(self, key: TrainerKey, job: Job) -> None:
        """Begin a job; its events come to the sink."""

    def cancel(self) -> None:
        """End the job in hand without a word."""

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Keep nothing ready for an experiment; its job in hand, if there is one, is cancelled."""

    def end_dataset(self, dataset: str) -> None:
        """Keep nothing ready of a dataset; a job in hand goes on."""

    def end_unused(self, now: float) -> None:
        """Keep nothing ready that nobody has used for long."""

    def close(self) -> None:
        """End for good."""


class Work:
    """Hands the node's tasks to its worker one by one, and answers them."""

    def __init__(  # noqa: PLR0913 - it stands between all of them
        self,
        *,
        worker: WorkerPort,
        records: Records,
        storage: Storage,
        courier: Courier,
        reception: Reception,
        answers: Answers,
        clock: Clock,
        max_threads: int,
    ) -> None:
        self.current: Task | None = None
        self.progress = 0.0
        """Of the current task, 0 to 1."""
        self._worker = worker
        self._records = records
        self._storage = storage
        self._jobs = Jobs(records, storage)
        self._courier = courier
        self._reception = reception
        self._answers = answers
        self._clock = clock
        self._max_threads = max_threads
        self._began_at = 0.0
        self._left_out: dict[str, frozenset[str]] = {}
        """By dataset: the withdrawn cases that its trainers were not given."""
        self._num_withdrawn = 0
        """Of all datasets, when it was looked last; none is ever taken back."""

    def resume(self) -> None:
        """Answer what an earlier life trained; what it left half done is done again."""
        for task in self._records.tasks.done():
            try:
                self._answer_training(task)
            except JobError:
                self._records.tasks.wait_again(task.task_id)
        self._storage.sweep_outputs()

    def go_on(self, *, may_begin: bool) -> None:
        """Let go of a task that was dropped; begin the next where nothing is in hand."""
        if self.current is not None and not self._records.tasks.has(self.current.task_id):
            self._worker.cancel()
            self._let_go(self.current)
        while self.current is None and may_begin:
            task = self._records.tasks.next()
            if task is None:
                return
            self._begin(task)

    def review(self) -> None:
        """End the task in hand if the operator has rejected its plan; look for withdrawals."""
        num_withdrawn = len(self._records.withdrawals)
        if num_withdrawn != self._num_withdrawn:
            self._num_withdrawn = num_withdrawn
            self._forget_withdrawn()
        task = self.current
        if task is None:
            return
        if self._records.plans.decision(task.request.spec.plan.digest) is Decision.REJECTED:
            self._worker.cancel()
            self._refuse(task, Objection(code=RefusalCode.PLAN_REJECTED))

    def take(self, event: WorkerEvent) -> None:
        """Take an event of the worker; of a task that is not in hand it changes nothing."""
        task = self.current
        if (
            task is None
            or event.job_id != task.task_id
            or not self._records.tasks.has(event.job_id)
        ):
            return
        match event:
            case Progress(share=share):
                self.progress = share
            case Flooded():
                what = f"it printed more than {LOG_NAME} keeps; the end of it is there"
                self._keep_back(task, _FLOODED, what)
            case Broken(code=code, what=what):
                if code in _OF_ROOM:
                    self._require_room(task)
                self._fail(task, code, what)
            case Done():
                self._take_result(task, event)
            case _:
                assert_never(event)

    def _begin(self, task: Task) -> None:
        datasets, name = self._records.datasets, task.request.spec.dataset
        with self._records.journal.transaction():  # what is judged is what the job is given
            objection = self._reception.judge(task.envelope, task.request)
            dataset, meaning = datasets.find(name), datasets.meanings.of(name)
        if objection is not None or dataset is None:
            self._refuse(task, objection or Objection(code=RefusalCode.UNKNOWN_DATASET))
            return
        experiment = ExperimentId(task.envelope.experiment)
        plan_digest = task.request.spec.plan.digest
        key = TrainerKey(experiment=experiment, plan_digest=plan_digest, dataset=name)
        now = self._clock.now()
        with self._records.journal.transaction():
            self._records.plans.approvals.note_round(task.envelope, task.request, now=now)
            num_threads = self._records.computing.settle(
                experiment, asked=task.request.spec.num_threads, most=self._max_threads
            )
            if task.state is not State.STARTED:
                self._records.tasks.start(task.task_id)
        self.current, self._began_at, self.progress = task, self._clock.steady(), 0.0
        try:
            withdrawn = self._leave_out(name)
            job = self._jobs.make(task, dataset, meaning, withdrawn, num_threads=num_threads)
            self._worker.begin(key, job)
        except TrainingError as error:
            self._fail(task, FailureCode.INTERNAL, str(error))
            return
        self._log("task_started", task)

    def _take_result(self, task: Task, done: Done) -> None:
        if done.unreadable:
            self._keep_back(task, _UNREADABLE, "; ".join(done.unreadable))
        gain = EvaluateReply(
            num_cases=done.num_cases,
            metrics={
                name: RatioField(numerator=numerator, denominator=denominator)
                for name, (numerator, denominator) in done.metrics.items()
            },
            duration_s=max(0.0, self._clock.steady() - self._began_at),
        )
        usable = done.num_training_cases + done.num_validation_cases
        code = judge_data(usable, self._reception.read_policy())
        if not done.num_training_cases and not isinstance(task.request, EvaluateRequest):
            code = RefusalCode.TOO_FEW_CASES
        if code is not None:
            self._refuse(task, Objection(code=code))
            return
        match task.request:
            case TrainRequest():
                self._finish_training(task, gain, done.cases)
            case EvaluateRequest():
                self._finish(task, gain, cases=done.cases)
            case PrepareRequest():
                self._finish(
                    task,
                    PrepareReply(
                        num_training_cases=done.num_training_cases,
                        num_validation_cases=done.num_validation_cases,
                    ),
                )
            case _:
                assert_never(task.request)

    def _finish_training(self, task: Task, gain: EvaluateReply, cases: Collection[str]) -> None:
        """Note that it is trained, once that is on the disk; then make the update and answer."""
        if gain.num_cases == 0:
            self._fail(task, FailureCode.DATASET_ERROR, "no training case could be used")
            return
        if not self._storage.has_output(task.name):
            self._fail(task, FailureCode.INTERNAL, "the trained parameters are not there")
            return
        # A disk that fails here ends the node: it would fail for every other task too.
        self._storage.sync_output(task.name)
        with self._records.journal.transaction():
            lists = self._records.case_lists
            lists.keep_task(task.task_id, lists.keep(task.request.spec.dataset, cases))
            self._records.tasks.keep_gain(task.task_id, gain)
        try:
            self._answer_training(replace(task, state=State.DONE, gain=gain))
        except JobError as fault:
            self._fail(task, fault.code, fault.what)

    def _answer_training(self, task: Task) -> None:
        """Send the update of a task that is trained.

        Raises:
            JobError: there is none that can be sent; the task stays.
        """
        envelope, request, gain = task.envelope, task.request, task.gain
        if gain is None or not isinstance(request, TrainRequest):
            raise JobError(FailureCode.INTERNAL, "the task is not trained")
        encoding = request.spec.encoding or EXACT  # of an unknown one nothing was begun
        feedback = self._feedback(envelope, request) if encoding.has_feedback else None
        update = make_update(
            task.name,
            request.parameters.digest,
            self._storage,
            encoding,
            feedback,
            is_narrow=request.is_narrow,
        )
        reply = TrainReply(
            update=update,
            num_cases=gain.num_cases,
            metrics=gain.metrics,
            duration_s=gain.duration_s,
        )
        if self._finish(task, reply, update=update) and feedback is not None:
            keys = {one for one in (feedback.before, feedback.after) if one is not None}
            self._storage.residuals.prune(envelope.experiment, keep=keys)

    def _feedback(self, envelope: Envelope, request: TrainRequest) -> Feedback:
        """Return the residual that an update begins with and the one that it leaves."""
        num_withdrawn = len(self._records.withdrawals.of(request.spec.dataset))
        after = ResidualKey(
            experiment=envelope.experiment,
            round=envelope.round,
            attempt=envelope.attempt,
            num_withdrawn=num_withdrawn,
        )
        counted = request.counted
        if counted is None:
            return Feedback(before=None, after=after)
        return Feedback(
            before=replace(after, round=counted.round, attempt=counted.attempt), after=after
        )

    def _finish(
        self,
        task: Task,
        body: Body,
        *,
        cases: Collection[str] = (),
        update: Manifest | None = None,
    ) -> bool:
        """Answer a task; or do it again, where a case that it was done with is withdrawn.

        Return whether it was answered.
        """
        envelope, lists = task.envelope, self._records.case_lists
        with self._courier.transaction():
            used = lists.of_task(task.task_id) or lists.keep(task.request.spec.dataset, cases)
            if self._is_outdated(task, used):
                self._records.tasks.wait_again(task.task_id)
                self._let_go(task)
                return False
            fact = answer_of(task, body, used)
            if fact is not None:
                self._records.audit.note(fact)
            if update is not None:
                answer = reply_id(envelope, before=task.num_answers)
                self._records.payloads.keep_update(
                    update, envelope.experiment, envelope.round, reply_id=answer
                )
                route = from_node(NodeId(self._courier.me), envelope.sender, envelope.experiment)
                self._courier.push(update, [route], envelope.experiment)
            self._records.tasks.remove(task.task_id)
            self._answers.give(envelope, body, before=task.num_answers)
        seconds = body.duration_s if isinstance(body, TrainReply | EvaluateReply) else None
        self._log("task_answered", task, seconds)
        self._let_go(task)
        return True

    def _forget_withdrawn(self) -> None:
        """End the task in hand where it has a case that is withdrawn, and trainers that wait.

        With what is left it is begun again.
        """
        task = self.current
        if task is not None and self._is_outdated(task, None):
            self._worker.cancel()
            self._let_go(task)
        for dataset in tuple(self._left_out):
            self._leave_out(dataset)

    def _leave_out(self, dataset: str) -> tuple[Withdrawal, ...]:
        """Return the withdrawn cases of a dataset; no trainer stays that was given one of them."""
        withdrawn = self._records.withdrawals.of(dataset)
        names = frozenset(one.case_id for one in withdrawn)
        if self._left_out.get(dataset, names) != names:
            self._worker.end_dataset(dataset)
        self._left_out[dataset] = names
        return withdrawn

    def _is_outdated(self, task: Task, used: Digest | None) -> bool:
        """Return whether a task was begun, or done with a list of cases, before a withdrawal."""
        dataset = task.request.spec.dataset
        withdrawn = self._records.withdrawals.of(dataset)
        names = frozenset(one.case_id for one in withdrawn)
        if self._left_out.get(dataset, names) != names:
            return True
        lists = self._records.case_lists
        return used is not None and any(lists.has(used, one.case_hash) for one in withdrawn)

    def _refuse(self, task: Task, objection: Objection) -> None:
        """Answer with a refusal; a task that only has to wait stays."""
        with self._courier.transaction():
            if objection.is_held:
                self._records.tasks.wait_again(task.task_id)
                self._reception.hold(
                    task.envelope, task.request, objection, before=task.num_answers
                )
            else:
                self._records.tasks.remove(task.task_id)
                self._answers.refuse(task.envelope, objection, before=task.num_answers)
        self._let_go(task)

    def _fail(self, task: Task, code: FailureCode, what: str) -> None:
        with self._courier.transaction():
            self._records.tasks.remove(task.task_id)
            self._answers.fail(task.envelope, code, what, before=task.num_answers)
        self._let_go(task)

    def _keep_back(self, task: Task, code: str, what: str) -> None:
        with self._courier.transaction():
            self._answers.keep_back(task.envelope, code, what)

    def _require_room(self, task: Task) -> None:
        """Return if there is room for what the task makes: then something else broke it.

        Raises:
            DiskFull: there is none; the task is done again when there is some.
        """
        self._storage.remove_output(task.name)
        self._storage.require_room(product_bytes(task.request))

    def _let_go(self, task: Task) -> None:
        self._storage.remove_output(task.name)
        self.current = None

    def _log(self, event: str, task: Task, seconds: float | None = None) -> None:
        envelope = task.envelope
        line = log.bind(kind=envelope.type, experiment=envelope.experiment, round=envelope.round)
        line.info(event) if seconds is None else line.info(event, seconds=round(seconds, 3))
