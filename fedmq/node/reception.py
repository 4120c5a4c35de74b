"""The reception: what a node makes of requests, from the first look to a task or a refusal."""

from collections.abc import Callable

import structlog

from fedmq.audit.facts import plain
from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.replies import AWAITS_OPERATOR, RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.answers import Answers
from fedmq.node.audit_facts import ExperimentEnded
from fedmq.node.audit_words import decision_of
from fedmq.node.patience import lose_patience
from fedmq.node.plans import asked_by
from fedmq.node.policy import (
    Objection,
    Policy,
    Signature,
    Situation,
    judge_mandate,
    judge_request,
    position_of,
)
from fedmq.node.records import Records
from fedmq.node.tasks import Task, task_id_of
from fedmq.node.terms import Dependencies, Request
from fedmq.transport.courier import Courier
from fedmq.transport.routes import from_node
from fedmq.transport.wires import Wire
from fedmq.types import NOWHERE, Digest, NodeId

log = structlog.get_logger()

Work = TrainRequest | EvaluateRequest


class Reception:
    """Takes requests within the transaction that receives them; runs nothing."""

    def __init__(  # noqa: PLR0913 - it stands between all of them
        self,
        *,
        records: Records,
        wire: Wire,
        courier: Courier,
        answers: Answers,
        release: Callable[[tuple[Digest, ...]], None],
        read_policy: Callable[[], Policy],
        read_dependencies: Callable[[], Dependencies],
        clock: Clock,
        hour_at: Callable[[str], float],
    ) -> None:
        self.read_policy = read_policy
        self._read_dependencies = read_dependencies
        self._records = records
        self._wire = wire
        self._courier = courier
        self._answers = answers
        self._release = release
        self._clock = clock
        self._hour_at = hour_at

    def judge(self, envelope: Envelope, request: Request) -> Objection | None:
        """Return why the node does not do what is asked as things stand, None if it does."""
        spec = request.spec
        dataset = self._records.datasets.find(spec.dataset)
        plans, policy, now = self._records.plans, self.read_policy(), self._clock.now()
        source = request.plan_source if isinstance(request, PrepareRequest) else None
        situation = Situation(
            signature=self._signature(envelope, request),
            num_cases=None if dataset is None else dataset.num_cases,
            dictionary=self._records.datasets.meanings.digest(spec.dataset),
            decision=plans.decision(spec.plan.digest),
            found=plans.found_digest(spec.plan, source),
            approvals=plans.approvals.in_force(spec.plan.digest, policy, envelope),
            dependencies=self._read_dependencies(),
            rounds_today=plans.approvals.rounds_today(policy, envelope, now=now),
            has_begun=plans.approvals.has_begun(envelope),
            course=self._records.tasks.course(envelope.experiment),
        )
        hour = self._hour_at(envelope.sender)
        return judge_request(envelope, request, situation, policy, hour=hour, now=now)

    def take_prepare(self, message: Message, request: PrepareRequest) -> None:
        """List the plan for the operator; answer with a refusal, or count the cases first."""
        envelope = message.envelope
        _require_experiment(envelope)
        if self._is_over(envelope):
            return
        self._list_plan(envelope, request)
        self._take(message, request)

    def take_work(self, message: Message, work: Work) -> None:
        """Accept work, or refuse it; if it was ordered, the experiment has come so far."""
        envelope = message.envelope
        _require_experiment(envelope)
        if self._is_over(envelope):
            return
        is_ordered = self._is_ordered(envelope, work)
        if is_ordered:
            self._note_model(envelope, work)
        self._take(message, work)
        if is_ordered:
            self._advance(envelope, work)

    def _take(self, message: Message, request: Request) -> None:
        num_awaiting = self._records.tasks.num_held(
            RefusalCode.ROSTER_AWAITED, message.envelope.sender
        )
        objection = lose_patience(self.judge(message.envelope, request), num_awaiting=num_awaiting)
        if objection is None or objection.is_held:
            self._records.tasks.add(message, request)
        if objection is None:
            self._records.audit.note(decision_of(message.envelope, None))
        elif objection.is_held:
            self.hold(message.envelope, request, objection)
        else:
            self._answers.refuse(message.envelope, objection)

    def hold(
        self, envelope: Envelope, request: Request, objection: Objection, *, before: int = 0
    ) -> None:
        """Let a task wait, and say why; call it inside a transaction."""
        self._records.tasks.hold(task_id_of(envelope), objection)
        self._answers.refuse(envelope, objection, before=before)
        plans, plan = self._records.plans, request.spec.plan.digest
        if objection.code is RefusalCode.DICTIONARY_DIFFERS:
            plans.note_waiting(plan, envelope.experiment, objection.code)
        elif objection.code in AWAITS_OPERATOR:
            plans.await_approval(plan, envelope.experiment, objection.code)

    def wants_model(self, envelope: Envelope, work: Work) -> bool:
        """Return whether work may be done once its model is here.

        What is refused needs none, and what nobody is known to have ordered makes the node fetch
        nothing; where its order turns out to be one, the model is fetched then.
        """
        objection = self.judge(envelope, work)
        if objection is None:
            return envelope.experiment != NOWHERE
        return objection.is_held and objection.code is not RefusalCode.ROSTER_AWAITED

    def expect_model(self, envelope: Envelope, work: Work) -> None:
        """Note that a model is on its way, and that its experiment has come so far.

        Older work is dropped now: nobody waits for it, however long the model takes to come.
        """
        course = self._records.tasks.course(envelope.experiment)
        is_ordered = envelope.experiment != NOWHERE and self._is_ordered(envelope, work)
        if is_ordered and not course.is_over:
            with self._courier.transaction():
                self._note_model(envelope, work)
                self._advance(envelope, work)

    def review_held(self) -> None:
        """Let those tasks go on to which there is no objection any more; tell what has changed."""
        for task, told in self._records.tasks.held():
            objection = self._judge_again(task)
            is_gone = not self._records.tasks.has(task.task_id)  # for newer work, a moment ago
            if is_gone or objection == told or self._awaits_model(task, told, objection):
                continue
            with self._courier.transaction():
                if told.code is RefusalCode.ROSTER_AWAITED:
                    self._list_plan(task.envelope, task.request)
                    objection = self._judge_again(task)
                if objection is None:
                    self._records.tasks.free(task.task_id)
                    plan = task.request.spec.plan.digest
                    self._records.plans.note_waiting(plan, task.envelope.experiment, "")
                    self._records.audit.note(decision_of(task.envelope, None))
                elif objection.is_held:
                    self.hold(task.envelope, task.request, objection, before=task.num_answers)
                else:
                    self._records.tasks.remove(task.task_id)
                    self._answers.refuse(task.envelope, objection, before=task.num_answers)

    def cancel(self, experiment: str, before_attempt: int) -> None:
        """Drop the work of older attempts; it is not answered."""
        tasks = self._records.tasks
        tasks.cancel(experiment, before_attempt)
        newest = tasks.course(experiment).newest
        if newest is not None and newest.attempt < before_attempt:
            self._courier.drop(experiment)
            self._release(self._records.payloads.release(experiment))
        log.info("work_cancelled", experiment=experiment, attempt=before_attempt)

    def is_led_by(self, sender: str, experiment: str) -> bool:
        """Return whether a sender leads an experiment, by an order that was verified here.

        Where it does not, nothing that it says of the experiment decides anything: others may be
        about to order it. What it has waiting here itself, unverified, is dropped with that word.
        """
        if self._records.epochs.leader(experiment) == sender:
            return True
        for task in self._records.tasks.all():
            if (task.envelope.experiment, task.envelope.sender) == (experiment, sender):
                self._records.tasks.remove(task.task_id)
        return False

    def end(self, experiment: str, state: str) -> None:
        """Drop all that is of an experiment: it is over."""
        self._records.audit.note(ExperimentEnded(experiment=experiment, state=plain(state)))
        self._records.tasks.end(experiment)
        self._records.computing.forget(experiment)
        self._records.intakes.forget(experiment)
        self._courier.drop(experiment)
        self._release(self._records.payloads.release(experiment))
        log.info("experiment_over", experiment=experiment, state=state)

    def release_sent(self) -> None:
        """Note the updates whose receipt came, and let go of them."""
        payloads = self._records.payloads
        sent = payloads.sent()
        if sent:
            with self._courier.transaction():
                for one in sent:
                    self._records.audit.note(one)
                released = payloads.release_sent()
            self._release(released)

    def _signature(self, envelope: Envelope, request: Request) -> Signature:
        if self._wire.is_given(request.mandate):
            return Signature.GOOD
        is_newer = envelope.roster > self._wire.version
        # That roster may be here, and wait: what it takes away counts already.
        is_awaited = is_newer and not self._wire.is_revoked(request.mandate)
        return Signature.UNKNOWN if is_awaited else Signature.BAD

    def _judge_again(self, task: Task) -> Objection | None:
        """Return why a task that waits is not done; for a newer roster none waits without end."""
        now = self._clock.now()
        waited_s = now - self._records.tasks.arrived_at(task, default=now)
        return lose_patience(self.judge(task.envelope, task.request), waited_s=waited_s)

    def _awaits_model(self, task: Task, told: Objection, objection: Objection | None) -> bool:
        """Return whether a task whose order is known by now goes on when its model is here.

        Nothing was fetched for it while nobody was known to have ordered it; now it is.
        """
        envelope, work = task.envelope, task.request
        is_refused = objection is not None and not objection.is_held
        was_unknown = told.code is RefusalCode.ROSTER_AWAITED
        if isinstance(work, PrepareRequest) or is_refused or not was_unknown:
            return False
        model = work.parameters
        with self._courier.transaction():
            self._note_model(envelope, work)
            self._advance(envelope, work)
        if self._courier.spool.has(model.digest):
            return False
        route = from_node(NodeId(self._courier.me), envelope.sender, envelope.experiment)
        self._courier.fetch(model, route, envelope.experiment, at_once=False)
        return True

    def _is_ordered(self, envelope: Envelope, request: Request) -> bool:
        """Return whether a researcher whom the node knows ordered what is asked."""
        signature = self._signature(envelope, request)
        return judge_mandate(envelope, request, signature) is None

    def _list_plan(self, envelope: Envelope, request: Request) -> None:
        """Show the operator what a researcher asks for, and nothing that nobody signed."""
        if isinstance(request, PrepareRequest) and self._is_ordered(envelope, request):
            self._note_leader(envelope)
            asked, now = asked_by(request.mandate), self._clock.now()
            self._records.plans.ask(request.spec.plan, request.plan_source, asked, now=now)

    def _is_over(self, envelope: Envelope) -> bool:
        """Return whether nobody waits for an answer: the queue that it would go to is gone."""
        return self._records.tasks.course(envelope.experiment).is_over

    def _note_leader(self, envelope: Envelope) -> None:
        """Note by whom an experiment is led, by an order that was verified; others wait no more."""
        self._records.epochs.note_leader(envelope.experiment, envelope.sender)
        self._records.tasks.keep_only(envelope.sender, envelope.experiment)

    def _note_model(self, envelope: Envelope, work: Work) -> None:
        self._note_leader(envelope)
        self._records.payloads.need_model(work.parameters, envelope.experiment, envelope.round)

    def _advance(self, envelope: Envelope, work: Work) -> None:
        """Drop older work and what it needed."""
        experiment, records = envelope.experiment, self._records
        records.tasks.advance(experiment, position_of(envelope, work))
        newest = records.tasks.course(experiment).newest
        if newest is not None:
            self._release(records.payloads.release_older(experiment, newest.round))


def _require_experiment(envelope: Envelope) -> None:
    """Return if a request is of an experiment.

    Raises:
        ProtocolError: it is of none.
    """
    if envelope.experiment == NOWHERE:
        raise ProtocolError("no_experiment")
