"""What the audit log says of messages: of requests, of the answers that they get. Pure."""

from collections import Counter
from typing import Final

from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    FailureCode,
    PrepareReply,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.requests import (
    CancelRequest,
    EvaluateRequest,
    PrepareRequest,
    TrainRequest,
)
from fedmq.node.audit_facts import (
    CasesCounted,
    Decided,
    EvaluationAnswered,
    Fact,
    IncidentHappened,
    MessagesTurnedAway,
    RequestReceived,
    TrainingDone,
    plain,
)
from fedmq.node.tasks import Task
from fedmq.types import Digest

GATHER_S: Final = 60.0
"""So long messages that are turned away are counted, after the first of their kind was told."""


def request_of(message: Message) -> RequestReceived | None:
    """Return what the log says of a message, None where it asks for nothing that counts."""
    envelope, researcher, mandate = message.envelope, "", ""
    plan, dataset, model = "", "", ""
    match message.body:
        case PrepareRequest() as request:
            plan, dataset = request.spec.plan.digest, request.spec.dataset
            researcher, mandate = request.researcher, request.mandate.digest
        case TrainRequest() | EvaluateRequest() as work:
            plan, dataset, model = work.spec.plan.digest, work.spec.dataset, work.parameters.digest
            researcher, mandate = work.researcher, work.mandate.digest
        case CancelRequest():
            pass
        case _:
            return None
    return RequestReceived(
        type=envelope.type,
        sender=envelope.sender,
        researcher=plain(researcher),
        mandate=mandate,
        experiment=envelope.experiment,
        round=envelope.round,
        attempt=envelope.attempt,
        plan=plan,
        dataset=plain(dataset),
        model=model,
    )


def decision_of(envelope: Envelope, code: RefusalCode | None) -> Decided:
    """Return what the log says of the policy's word; None: it said yes."""
    return Decided(
        type=envelope.type,
        experiment=envelope.experiment,
        round=envelope.round,
        attempt=envelope.attempt,
        decision="accepted" if code is None else "refused",
        code="" if code is None else str(code),
    )


def incident_of(envelope: Envelope, code: FailureCode, incident: str) -> IncidentHappened:
    """Return what the log says of a failure."""
    return IncidentHappened(
        type=envelope.type,
        experiment=envelope.experiment,
        round=envelope.round,
        attempt=envelope.attempt,
        code=str(code),
        incident=incident,
    )


def answer_of(task: Task, body: Body, cases: Digest) -> Fact | None:
    """Return what the log says of an answer; `cases` is the list that the work was done with."""
    envelope, request = task.envelope, task.request
    match body, request:
        case TrainReply(), TrainRequest():
            return TrainingDone(
                experiment=envelope.experiment,
                round=envelope.round,
                attempt=envelope.attempt,
                plan=request.spec.plan.digest,
                dataset=plain(request.spec.dataset),
                cases=cases,
                num_cases=body.num_cases,
                model=request.parameters.digest,
                model_bytes=request.parameters.size_bytes,
                update=body.update.digest,
                update_bytes=body.update.size_bytes,
            )
        case EvaluateReply(), EvaluateRequest():
            return EvaluationAnswered(
                experiment=envelope.experiment,
                round=envelope.round,
                attempt=envelope.attempt,
                plan=request.spec.plan.digest,
                dataset=plain(request.spec.dataset),
                cases=cases,
                num_cases=body.num_cases,
                model=request.parameters.digest,
            )
        case PrepareReply(), PrepareRequest():
            return CasesCounted(
                experiment=envelope.experiment,
                dataset=plain(request.spec.dataset),
                num_training_cases=body.num_training_cases,
                num_validation_cases=body.num_validation_cases,
            )
        case _:
            return None


class TurnedAwayCount:
    """Messages that were turned away, gathered: a flood of them is a few entries, not a flood."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._until: dict[tuple[str, str], float] = {}

    def add(self, reason: str, sender: str, *, now: float) -> MessagesTurnedAway | None:
        """Count one; return what to tell at once, None where its kind was told a moment ago."""
        kind = (plain(reason), plain(sender))
        if now < self._until.get(kind, now):
            self._counts[kind] += 1
            return None
        self._until[kind] = now + GATHER_S
        return MessagesTurnedAway(reason=kind[0], sender=kind[1], count=1)

    def take(self, now: float) -> tuple[MessagesTurnedAway, ...]:
        """Return what was counted for long enough; it is not counted again."""
        ripe = [kind for kind, until in self._until.items() if until <= now]
        told = []
        for kind in ripe:
            del self._until[kind]
            count = self._counts.pop(kind, 0)
            if count:
                told.append(MessagesTurnedAway(reason=kind[0], sender=kind[1], count=count))
        return tuple(told)
