"""Replies: what a node answers. Counts and codes only: no path, value, name or text of a site."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from fedmq.messages.fields import (
    Count,
    Manifest,
    MetricsField,
    Seconds,
    ShortText,
    Value,
    Word,
)
from fedmq.messages.heads import ToldHead


class RefusalCode(StrEnum):
    """Why a node's policy says no."""

    UNKNOWN_PLAN = "unknown_plan"
    PLAN_DIFFERS = "plan_differs"
    PLAN_AWAITS_APPROVAL = "plan_awaits_approval"
    PLAN_REJECTED = "plan_rejected"
    UNKNOWN_DATASET = "unknown_dataset"
    TOO_FEW_CASES = "too_few_cases"
    DICTIONARY_DIFFERS = "dictionary_differs"
    EXPIRED = "expired"
    STALE = "stale"
    NOT_MANDATED = "not_mandated"
    ROSTER_AWAITED = "roster_awaited"
    ROSTER_MISSING = "roster_missing"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNKNOWN_ENCODING = "unknown_encoding"
    BAD_CONFIG = "bad_config"
    STUDY_MISSING = "study_missing"
    STUDY_ENDED = "study_ended"
    TOO_FEW_NODES = "too_few_nodes"
    RESEARCHER_NOT_APPROVED = "researcher_not_approved"
    STUDY_NOT_APPROVED = "study_not_approved"
    DATASET_NOT_APPROVED = "dataset_not_approved"
    APPROVAL_EXPIRED = "approval_expired"
    DEPENDENCIES_CHANGED = "dependencies_changed"
    CONFIG_OUT_OF_RANGE = "config_out_of_range"
    ROUNDS_NOT_APPROVED = "rounds_not_approved"
    NODE_PAUSED = "node_paused"
    OUT_OF_HOURS = "out_of_hours"
    ROUNDS_OF_TODAY = "rounds_of_today"


AWAITS_OPERATOR: Final = frozenset(
    {
        RefusalCode.PLAN_AWAITS_APPROVAL,
        RefusalCode.DICTIONARY_DIFFERS,
        RefusalCode.RESEARCHER_NOT_APPROVED,
        RefusalCode.STUDY_NOT_APPROVED,
        RefusalCode.DATASET_NOT_APPROVED,
        RefusalCode.APPROVAL_EXPIRED,
        RefusalCode.DEPENDENCIES_CHANGED,
        RefusalCode.CONFIG_OUT_OF_RANGE,
        RefusalCode.ROUNDS_NOT_APPROVED,
    }
)
"""The node's operator can change the answer: by an approval, or by the dictionary of the data."""

HELD: Final = AWAITS_OPERATOR | {
    RefusalCode.ROSTER_AWAITED,
    RefusalCode.NODE_PAUSED,
    RefusalCode.OUT_OF_HOURS,
    RefusalCode.ROUNDS_OF_TODAY,
}
"""Not yet: the node keeps the request, and answers it again by itself when it can."""


class FailureCode(StrEnum):
    """What broke at a node."""

    PLAN_ERROR = "plan_error"
    DATASET_ERROR = "dataset_error"
    TRAINING_ERROR = "training_error"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_DIED = "worker_died"
    UPDATE_NOT_FINITE = "update_not_finite"
    UPDATE_MISSHAPEN = "update_misshapen"
    DISK_FULL = "disk_full"
    INTERNAL = "internal"


class Answer(Value):
    """What all answers have in common."""

    head: ToldHead | None = None
    """Of the node's audit log, with the entry that tells of this answer."""


class PrepareReply(Answer):
    """This node takes part, with so many cases."""

    TYPE: ClassVar = "prepare.reply"

    num_training_cases: Count
    num_validation_cases: Count


class TrainReply(Answer):
    """The update of one round: local minus global parameters, weighted by `num_cases`."""

    TYPE: ClassVar = "train.reply"

    update: Manifest
    num_cases: Annotated[int, Field(ge=1, le=10_000_000)]
    metrics: MetricsField
    duration_s: Seconds


class EvaluateReply(Answer):
    """Metrics of the round's parameters on the node's validation cases."""

    TYPE: ClassVar = "evaluate.reply"

    num_cases: Count
    metrics: MetricsField
    duration_s: Seconds


class Refusal(Answer):
    """Policy said no to the request that the envelope's correlation id names."""

    TYPE: ClassVar = "refusal"

    code: Annotated[RefusalCode, Word]
    request_type: ShortText
    retry_at: Seconds | None = None
    """Of a code in `HELD`: when the node means to go on, in Unix seconds; None: nobody knows."""


class Failure(Answer):
    """Something broke; the incident id finds the details in the node's own log."""

    TYPE: ClassVar = "failure"

    code: Annotated[FailureCode, Word]
    request_type: ShortText
    incident: ShortText


class PingReply(Value):
    """The node is there."""

    TYPE: ClassVar = "ping.reply"

    asked_at: Seconds
