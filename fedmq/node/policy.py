"""Policy: what a node says to a request, from what its operator has decided. Pure."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import DictionaryReference, PlanReference, Study
from fedmq.messages.replies import HELD, RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.hours import ALWAYS, Hours, Zone, day_ends_at, local_day
from fedmq.node.terms import Approval, Dependencies, Request, judge_terms
from fedmq.types import Digest

LEAST_CELL: Final = 10
"""Usual for published tables of patients."""


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
class Policy:
    """What the operator allows beside plans and data; as it is made, strict."""

    min_cases: int = 10
    """Of a dataset that is trained on."""
    min_nodes: int = 3
    """No model may be made of the updates of fewer nodes."""
    require_study: bool = True
    approvals_needed: int = 1
    """Persons who have to approve a plan."""
    max_approval_days: int = 365
    """So long an approval holds at most."""
    max_payload_bytes: int = 8 * 10**9
    max_rounds_per_day: int | None = None
    """Of all experiments, by the local calendar."""
    is_paused: bool = False
    hours: Hours = ALWAYS
    """When work may begin."""
    zone: Zone = None
    """Of hours and dates; None: the machine's own."""
    tells_data: bool = True
    """Whether researchers are told how many cases of what kind there are."""
    least_cell: int = LEAST_CELL
    """They are told of no group of fewer cases."""
    devices: tuple[str, ...] = ("cpu",)
    """What plans may compute on. Nothing chooses one yet: all of them compute on the CPU."""
    file: str = field(default="", compare=False)
    """The SHA-256 of the file that says so, for the audit log; empty where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why the node does not do what is asked."""

    code: RefusalCode
    retry_at: float | None = None
    """When it may, in Unix seconds, where that is known."""

    @property
    def is_held(self) -> bool:
        """Whether the request is kept, and answered again when that has changed."""
        return self.code in HELD


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What the node knows of the course of an experiment."""

    newest: Position | None = None
    """Of the work that was asked for."""
    least_attempt: int = 0
    """Older attempts were cancelled."""
    is_over: bool = False


NOT_BEGUN: Final = Course()


class Signature(StrEnum):
    """What is known of the signature of a mandate."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"
    """It may be that of somebody in a newer roster, which is on its way here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the node knows about a request."""

    signature: Signature
    """Of the mandate that the request carries."""
    num_cases: int | None
    """Of the dataset; None where there is no such dataset."""
    dictionary: Digest | None = None
    """By which the dataset's clinical table is read; None: by none."""
    decision: Decision | None
    """On the plan's digest; None where nobody asked for it yet."""
    found: Digest | None
    """Digest of the plan's bytes that are here: installed or sent along; None where none are."""
    approvals: tuple[Approval, ...] = ()
    """Of the plan's digest."""
    dependencies: Dependencies = field(default_factory=dict)
    """The packages that the plan would run with."""
    rounds_today: int = 0
    """Rounds that began today, without the one that is asked for."""
    has_begun: bool = False
    """Whether the round that is asked for began before."""
    course: Course = NOT_BEGUN


def position_of(envelope: Envelope, request: Request) -> Position:
    """Return where in its experiment a request belongs."""
    return Position(envelope.round, envelope.attempt, _leg_of(request))


def judge_request(
    envelope: Envelope,
    request: Request,
    situation: Situation,
    policy: Policy,
    *,
    hour: float,
    now: float,
) -> Objection | None:
    """Return why the node does not do what is asked, None if it does.

    `hour` is the orchestrator's time, by which orders expire; `now` the node's own.
    """
    today = local_day(now, policy.zone)
    code = (
        _judge_course(position_of(envelope, request), situation.course)
        or _judge_expiry(envelope, hour)
        or judge_mandate(envelope, request, situation.signature)
        or _judge_encoding(request)
        or judge_data(situation.num_cases, policy)
        or judge_dictionary(request.spec.dictionary, situation.dictionary)
        or _judge_study(request.spec.study, policy, today)
        or _judge_quorum(request, policy)
        or _judge_plan(request, situation, today)
        or _judge_payload(request, policy)
    )
    return _judge_hour(request, situation, policy, now) if code is None else Objection(code=code)


def judge_mandate(envelope: Envelope, request: Request, signature: Signature) -> RefusalCode | None:
    """Return why a request is not what a researcher ordered, None if it is.

    Who passes orders on is who the researcher chose for it. It chooses neither plan nor data,
    settings, seeds, nodes or rounds, asks for no round more often than it may be tried, and trains
    the first one on nothing but the researcher's own parameters.
    """
    if signature is Signature.UNKNOWN:
        return RefusalCode.ROSTER_AWAITED
    order = request.mandate.order
    is_meant = (
        order.experiment == envelope.experiment
        and order.orchestrator == envelope.sender
        and envelope.attempt < order.spec.max_attempts
        and _is_a_round_of(request, envelope.round)
        and (not order.spec.nodes or envelope.recipient in order.spec.nodes)
        and _begins_as_ordered(envelope, request)
    )
    return None if signature is Signature.GOOD and is_meant else RefusalCode.NOT_MANDATED


def judge_data(num_cases: int | None, policy: Policy) -> RefusalCode | None:
    """Return why the data do not suffice, None if they do."""
    if num_cases is None:
        return RefusalCode.UNKNOWN_DATASET
    return RefusalCode.TOO_FEW_CASES if num_cases < policy.min_cases else None


def judge_dictionary(asked: DictionaryReference | None, own: Digest | None) -> RefusalCode | None:
    """Return that the data mean something else here than the experiment says, None if they do not.

    An experiment that names no dictionary takes the data as each site has them.
    """
    differs = asked is not None and asked.digest != own
    return RefusalCode.DICTIONARY_DIFFERS if differs else None


def judge_bytes(plan: PlanReference, found: Digest | None) -> RefusalCode | None:
    """Return why the bytes that are here are not the plan's, None if they are."""
    if found is None:
        return RefusalCode.UNKNOWN_PLAN
    return RefusalCode.PLAN_DIFFERS if found != plan.digest else None


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


def _judge_expiry(envelope: Envelope, hour: float) -> RefusalCode | None:
    is_late = envelope.expires_at is not None and envelope.expires_at < hour
    return RefusalCode.EXPIRED if is_late else None


def _is_a_round_of(request: Request, number: int) -> bool:
    spec = request.spec
    match request:
        case PrepareRequest():
            return number == 0
        case TrainRequest():
            return 1 <= number <= spec.num_rounds
        case EvaluateRequest():
            return spec.evaluate and 1 <= number <= spec.num_rounds


def _begins_as_ordered(envelope: Envelope, request: Request) -> bool:
    if isinstance(request, TrainRequest) and envelope.round == 1:
        return request.parameters == request.mandate.order.initial
    return True


def _judge_encoding(request: Request) -> RefusalCode | None:
    """Return that this version does not know how updates or models travel, None if it does."""
    is_unknown = request.spec.encoding is None or request.spec.model_kind is None
    return RefusalCode.UNKNOWN_ENCODING if is_unknown else None


def _judge_study(study: Study | None, policy: Policy, today: str) -> RefusalCode | None:
    if study is None:
        return RefusalCode.STUDY_MISSING if policy.require_study else None
    return RefusalCode.STUDY_ENDED if today > study.end else None


def _judge_quorum(request: Request, policy: Policy) -> RefusalCode | None:
    return RefusalCode.TOO_FEW_NODES if request.spec.quorum < policy.min_nodes else None


def _judge_plan(request: Request, situation: Situation, today: str) -> RefusalCode | None:
    """Return why the plan may not run: nothing does that was not approved, for this request."""
    differs = judge_bytes(request.spec.plan, situation.found)
    if differs is not None:
        return differs
    if situation.decision is Decision.REJECTED:
        return RefusalCode.PLAN_REJECTED
    return judge_terms(request, situation.approvals, situation.dependencies, today=today)


def _judge_payload(request: Request, policy: Policy) -> RefusalCode | None:
    if isinstance(request, PrepareRequest):
        return None
    is_large = request.parameters.size_bytes > policy.max_payload_bytes
    return RefusalCode.PAYLOAD_TOO_LARGE if is_large else None


def _judge_hour(
    request: Request, situation: Situation, policy: Policy, now: float
) -> Objection | None:
    """Return why nothing may begin now, and when it may."""
    if policy.is_paused:
        return Objection(code=RefusalCode.NODE_PAUSED)
    most = policy.max_rounds_per_day
    is_new = isinstance(request, TrainRequest) and not situation.has_begun
    if most is not None and is_new and situation.rounds_today >= most:
        tomorrow = day_ends_at(now, policy.zone)
        opens_at = policy.hours.opens_at(tomorrow, policy.zone)
        return Objection(code=RefusalCode.ROUNDS_OF_TODAY, retry_at=opens_at)
    opens_at = policy.hours.opens_at(now, policy.zone)
    if opens_at == now:
        return None
    return Objection(code=RefusalCode.OUT_OF_HOURS, retry_at=opens_at)
