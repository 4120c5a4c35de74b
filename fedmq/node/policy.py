"""Policy: what a node says to a request, from what its operator has decided. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import PlanReference
from fedmq.messages.replies import RefusalCode
from fedmq.types import Digest


class Decision(StrEnum):
    """What the operator says of a plan's exact bytes."""

    AWAITING = "awaiting"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the operator allows beside plans and data."""

    min_cases: int = 1
    max_payload_bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the node knows about a request."""

    num_cases: int | None
    """Of the dataset; None where there is no such dataset."""
    decision: Decision | None
    """On the plan's digest; None where nobody asked for it yet."""
    installed: Digest | None
    """Digest of the catalogue's plan of that name, None where it is not installed."""
    source: Digest | None
    """Digest of the source that is here, None where there is none."""
    is_over: bool = False
    """Whether the experiment ended, or a newer attempt is known."""


def judge_plan(plan: PlanReference, situation: Situation) -> RefusalCode | None:
    """Return why the plan may not run, None if its operator approved exactly those bytes."""
    present = situation.source if plan.is_shipped else situation.installed
    if present is None:
        return RefusalCode.UNKNOWN_PLAN
    if present != plan.digest:
        return RefusalCode.PLAN_DIFFERS
    match situation.decision:
        case Decision.APPROVED:
            return None
        case Decision.REJECTED:
            return RefusalCode.PLAN_REJECTED
        case _:
            return RefusalCode.PLAN_AWAITS_APPROVAL


def judge_request(plan: PlanReference, situation: Situation, limits: Limits) -> RefusalCode | None:
    """Return why the node takes no part in an experiment, None if it does."""
    if situation.is_over:
        return RefusalCode.STALE
    if situation.num_cases is None:
        return RefusalCode.UNKNOWN_DATASET
    if situation.num_cases < limits.min_cases:
        return RefusalCode.TOO_FEW_CASES
    return judge_plan(plan, situation)


def judge_work(
    envelope: Envelope, size_bytes: int, limits: Limits, *, now: float
) -> RefusalCode | None:
    """Return why work is not begun now, None if it may."""
    if envelope.expires_at is not None and now >= envelope.expires_at:
        return RefusalCode.EXPIRED
    if size_bytes > limits.max_payload_bytes:
        return RefusalCode.PAYLOAD_TOO_LARGE
    return None
