"""Policy: what a node says to a request, from what its operator has decided. Pure."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import PlanReference
from fedmq.messages.replies import RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.types import Digest

Request = PrepareRequest | TrainRequest | EvaluateRequest


class Decision(StrEnum):
    """What the operator says of a plan's exact bytes."""

    AWAITING = "awaiting"
    APPROVED = "approved"
    REJECTED = "rejected"


class Leg(IntEnum):
    """What a round asks of a node, in the order in which it asks."""

    PREPARE = 0
    TRAIN = 1
    EVALUATE = 2


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far an experiment has come."""

    round: int
    attempt: int
    leg: Leg


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the operator allows beside plans and data."""

    min_cases: int = 1
    max_payload_bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What the node knows of the course of an experiment."""

    newest: Position | None = None
    """Of the work that was asked for."""
    least_attempt: int = 0
    """Older attempts were cancelled."""
    is_over: bool = False


NOT_BEGUN: Final = Course()


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the node knows about a request."""

    num_cases: int | None
    """Of the dataset; None where there is no such dataset."""
    decision: Decision | None
    """On the plan's digest; None where nobody asked for it yet."""
    found: Digest | None
    """Digest of the plan's bytes that are here: installed or sent along; None where none are."""
    course: Course = NOT_BEGUN


def position_of(envelope: Envelope, request: Request) -> Position:
    """Return where in its experiment a request belongs."""
    return Position(envelope.round, envelope.attempt, _leg_of(request))


def judge_request(
    envelope: Envelope, request: Request, situation: Situation, limits: Limits, *, now: float
) -> RefusalCode | None:
    """Return why the node does not do what is asked, None if it does."""
    return (
        _judge_course(position_of(envelope, request), situation.course)
        or _judge_hour(envelope, now)
        or judge_data(situation.num_cases, limits)
        or judge_plan(request.plan, situation)
        or _judge_payload(request, limits)
    )


def judge_data(num_cases: int | None, limits: Limits) -> RefusalCode | None:
    """Return why the data do not suffice, None if they do."""
    if num_cases is None:
        return RefusalCode.UNKNOWN_DATASET
    return RefusalCode.TOO_FEW_CASES if num_cases < limits.min_cases else None


def judge_plan(plan: PlanReference, situation: Situation) -> RefusalCode | None:
    """Return why the plan may not run, None if its operator approved exactly those bytes."""
    if situation.found is None:
        return RefusalCode.UNKNOWN_PLAN
    if situation.found != plan.digest:
        return RefusalCode.PLAN_DIFFERS
    match situation.decision:
        case Decision.APPROVED:
            return None
        case Decision.REJECTED:
            return RefusalCode.PLAN_REJECTED
        case Decision.AWAITING | None:
            return RefusalCode.PLAN_AWAITS_APPROVAL


def _leg_of(request: Request) -> Leg:
    match request:
        case PrepareRequest():
            return Leg.PREPARE
        case TrainRequest():
            return Leg.TRAIN
        case EvaluateRequest():
            return Leg.EVALUATE


def _judge_course(position: Position, course: Course) -> RefusalCode | None:
    if course.is_over:
        return RefusalCode.STALE
    if position.leg is Leg.PREPARE:
        # A question about the experiment, of no round or attempt.
        return None
    is_past = course.newest is not None and position < course.newest
    is_cancelled = position.attempt < course.least_attempt
    return RefusalCode.STALE if is_past or is_cancelled else None


def _judge_hour(envelope: Envelope, now: float) -> RefusalCode | None:
    is_late = envelope.expires_at is not None and envelope.expires_at < now
    return RefusalCode.EXPIRED if is_late else None


def _judge_payload(request: Request, limits: Limits) -> RefusalCode | None:
    if isinstance(request, PrepareRequest):
        return None
    is_large = request.parameters.size_bytes > limits.max_payload_bytes
    return RefusalCode.PAYLOAD_TOO_LARGE if is_large else None
