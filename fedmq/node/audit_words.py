"""What the audit log says of messages: of requests, of the answers that they get. Pure."""

import hashlib
from dataclasses import replace

from fedmq.audit.facts import plain, plain_reference
from fedmq.encodings.kinds import EXACT
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
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
    NodeStarted,
    PlanDecided,
    RequestReceived,
    TrainingDone,
)
from fedmq.node.containment import Containment
from fedmq.node.policy import Policy
from fedmq.node.tasks import Task
from fedmq.node.terms import Terms
from fedmq.types import Digest


def start_of(
    node: str, version: str, policy: Policy, containment: Containment | None
) -> NodeStarted:
    """Return what the log says of a node that begins to serve; None: nobody looked."""
    return NodeStarted(
        node=node,
        version=version,
        containment="" if containment is None else containment.level,
        lacks=() if containment is None else tuple(map(plain_reference, containment.lacks)),
        policy=policy.file,
    )


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


def plan_decision_of(
    plan: Digest, name: str, decision: str, terms: Terms | None, *, by: str
) -> PlanDecided:
    """Return what the log says of a person's word on a plan; on which terms, where it was yes."""
    decided = PlanDecided(plan=plan, name=plain(name), decision=decision, by=plain(by))
    if terms is None:
        return decided
    study = terms.study
    return replace(
        decided,
        terms=hashlib.sha256(terms.model_dump_json().encode()).hexdigest(),
        researcher=terms.researcher,
        protocol="" if study is None else plain_reference(study.protocol),
        ethics="" if study is None else plain_reference(study.ethics),
        study_end="" if study is None else study.end,
        datasets=tuple(map(plain, terms.datasets)),
        limits=tuple(plain_reference(f"{key}={limit}") for key, limit in terms.limits.items()),
        until=terms.until,
        max_rounds=terms.max_rounds or 0,
    )


def incident_of(envelope: Envelope, code: str, incident: str) -> IncidentHappened:
    """Return what the log says of a failure, or of what a plan did besides."""
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
                encoding=str(request.spec.encoding or EXACT),
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
