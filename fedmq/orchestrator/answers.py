"""Answers: what messages of nodes mean to an experiment, and what researchers are told.

Pure but for the header of the initial parameters, which is read from its file.
"""

from collections.abc import Iterable
from typing import Final, TypeVar, assert_never

from fedmq.encodings.kinds import KINDS, MODEL_KINDS
from fedmq.encodings.layouts import encoded_layout
from fedmq.errors import ParametersError, ProtocolError
from fedmq.messages.codec import MAX_BODY_BYTES
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Value
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.replies import (
    HELD,
    EvaluateReply,
    Failure,
    PrepareReply,
    Refusal,
    TrainReply,
)
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.messages.submissions import (
    ExperimentReport,
    ReportList,
    RoundRecord,
)
from fedmq.orchestrator.events import (
    Agreed,
    Declined,
    Deferred,
    Evaluated,
    Event,
    Fell,
    Leg,
    Trained,
)
from fedmq.orchestrator.standings import standings
from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.store import Kept
from fedmq.parameters import Readable, file_layout
from fedmq.types import NOWHERE, NodeId

V = TypeVar("V", bound=Value)

RESERVED: Final = frozenset({NOWHERE, "all"})
_MAX_TEXT: Final = 2_000
_MAX_LATE: Final = 100
"""Late updates that a message tells of, the newest; the experiment's folder has all."""


def read_reply(
    reply: PrepareReply | TrainReply | EvaluateReply | Refusal | Failure,
    envelope: Envelope,
    fault: str | None,
    *,
    ahead_s: float = 0.0,
) -> Event:
    """Return the event that a node's reply is; `fault` says why its update cannot be used.

    `ahead_s` is by how much the time that deadlines are in is ahead of the clock.

    Raises:
        ProtocolError: it answers a request that no experiment makes.
    """
    node = NodeId(envelope.sender)
    match reply:
        case PrepareReply():
            return Agreed(node=node)
        case TrainReply() if fault is None:
            return Trained(
                node=node,
                round=envelope.round,
                attempt=envelope.attempt,
                update=reply.update,
                num_cases=reply.num_cases,
                metrics=reply.metrics,
                duration_s=reply.duration_s,
            )
        case TrainReply():
            return _fell(envelope, "train", fault or "", is_refusal=False)
        case EvaluateReply():
            return Evaluated(
                node=node,
                round=envelope.round,
                attempt=envelope.attempt,
                num_cases=reply.num_cases,
                metrics=reply.metrics,
                duration_s=reply.duration_s,
            )
        case Refusal() | Failure():
            return _read_no(reply, envelope, ahead_s)
        case _:
            assert_never(reply)


def _read_no(reply: Refusal | Failure, envelope: Envelope, ahead_s: float) -> Event:
    is_refusal = isinstance(reply, Refusal)
    retry_at = reply.retry_at if isinstance(reply, Refusal) else None
    leg: Leg
    match reply.request_type:
        case PrepareRequest.TYPE:
            node = NodeId(envelope.sender)
            is_final = reply.code not in HELD
            return Declined(node=node, code=reply.code, is_final=is_final, retry_at=retry_at)
        case TrainRequest.TYPE:
            leg = "train"
        case EvaluateRequest.TYPE:
            leg = "evaluate"
        case _:
            raise ProtocolError("unexpected_type", "it answers what no experiment asks")
    if reply.code not in HELD:
        return _fell(envelope, leg, reply.code, is_refusal=is_refusal)
    return Deferred(
        node=NodeId(envelope.sender),
        round=envelope.round,
        attempt=envelope.attempt,
        leg=leg,
        code=reply.code,
        retry_at=retry_at,
        until=None if retry_at is None else retry_at + ahead_s,
    )


def _fell(envelope: Envelope, leg: Leg, code: str, *, is_refusal: bool) -> Fell:
    return Fell(
        node=NodeId(envelope.sender),
        round=envelope.round,
        attempt=envelope.attempt,
        leg=leg,
        code=code,
        is_refusal=is_refusal,
    )


def find_fault(kept: Kept, initial: Readable) -> str | None:
    """Return why an experiment cannot be led, None if it can."""
    spec = kept.spec
    if kept.experiment in RESERVED or not RESERVED.isdisjoint(spec.nodes):
        return "an experiment or a node cannot be called " + " or ".join(sorted(RESERVED))
    if spec.nodes and spec.quorum > len(set(spec.nodes)):
        return f"the quorum is {spec.quorum}, and {len(set(spec.nodes))} nodes are named"
    if spec.plan.is_shipped != (kept.plan_source is not None):
        return "a plan of one's own is sent with its source, a plan of the catalogue without"
    return _travel_fault(spec, initial)


def _travel_fault(spec: ExperimentSpec, initial: Readable) -> str | None:
    """Return why its parameters cannot travel as it says, None if they can."""
    if spec.encoding is None:
        return f"updates cannot travel as {spec.update_encoding}; known are {', '.join(KINDS)}"
    if spec.model_kind is None:
        return f"models cannot travel as {spec.model_encoding}; known are {', '.join(MODEL_KINDS)}"
    try:
        encoded_layout(file_layout(initial), spec.encoding)
    except ParametersError as error:
        return f"the initial parameters cannot be read: {error}"[:_MAX_TEXT]
    return None


def make_summary(kept: Kept, state: Experiment, reason: str) -> ExperimentReport:
    """Return the experiment as it stands, without its rounds, with all updates that came late.

    `reason` says what it waits for.
    """
    return ExperimentReport(
        experiment=kept.experiment,
        spec=kept.spec,
        state=state.shown,
        reason=reason[:_MAX_TEXT],
        round=state.round,
        model=state.model,
        records=[],
        late=list(state.late),
        nodes=standings(state),
    )


def make_report(
    kept: Kept, state: Experiment, reason: str, newest_first: Iterable[RoundRecord]
) -> ExperimentReport:
    """Return the experiment as it stands, with its newest rounds: as many as a message holds."""
    update = {"records": _newest(newest_first), "late": list(state.late[-_MAX_LATE:])}
    return make_summary(kept, state, reason).model_copy(update=update)


def make_list(summaries: Iterable[ExperimentReport], *, num_running: int) -> ReportList:
    """Return experiments without their rounds, given the newest first: as many as a message holds.

    The newest stands last. `num_running` is of everybody's.
    """
    short = (one.model_copy(update={"late": [], "nodes": []}) for one in summaries)
    return ReportList(reports=_newest(short), num_running=num_running)


def _newest(values: Iterable[V]) -> list[V]:
    """Return the first values that fit into a message beside everything else, the first last."""
    # Measured as JSON, in which a float takes four bytes or more; it takes nine in a message.
    left = MAX_BODY_BYTES // 3
    fitting: list[V] = []
    for value in values:
        left -= len(value.model_dump_json().encode())
        if left < 0:
            break
        fitting.append(value)
    return fitting[::-1]
