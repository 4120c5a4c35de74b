"""Submissions: what a researcher asks of the orchestrator, and what comes back."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from fedmq.messages.data import KnownNode
from fedmq.messages.fields import (
    Count,
    DigestField,
    Id,
    LongText,
    Manifest,
    MetricsField,
    Round,
    Seconds,
    ShortText,
    Source,
    Value,
    Word,
)
from fedmq.messages.mandates import ExperimentSpec, Mandate


class Submission(Value):
    """Lead this experiment; its initial parameters (round 0) follow."""

    TYPE: ClassVar = "experiment.submission"

    mandate: Mandate
    plan_source: Source | None = None

    @property
    def initial(self) -> Manifest:
        """The payload with the initial parameters."""
        return self.mandate.order.initial


class Acceptance(Value):
    """The orchestrator leads the experiment from here; the client may go."""

    TYPE: ClassVar = "experiment.acceptance"

    experiment: Id


class Rejection(Value):
    """The orchestrator does not take the submission or the query."""

    TYPE: ClassVar = "experiment.rejection"

    reason: LongText


class QueryKind(StrEnum):
    """What a researcher asks of experiments that run or have run."""

    LIST = "list"
    SHOW = "show"
    ORDER = "order"
    NODES = "nodes"
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


class Query(Value):
    """Ask about one experiment, its order, or all of them; or stop, pause or resume one."""

    TYPE: ClassVar = "experiment.query"

    kind: Annotated[QueryKind, Word]
    experiment: Id = "-"


class NodesReport(Value):
    """The nodes that an orchestrator has heard of, and what they tell of their data."""

    TYPE: ClassVar = "nodes.report"

    nodes: Annotated[list[KnownNode], Field(max_length=10_000)]


class NodeOutcome(Value):
    """What one node did in one round."""

    node: Id
    outcome: ShortText
    """`updated`, a refusal or failure code, or `missed` the deadline."""
    num_cases: Count
    duration_s: Seconds


class RoundRecord(Value):
    """One closed round, as it is kept and shown."""

    round: Round
    attempt: Round
    model: DigestField
    outcomes: Annotated[list[NodeOutcome], Field(max_length=10_000)]
    train_metrics: MetricsField
    metrics: MetricsField
    bytes_up: Annotated[int, Field(ge=0)]
    bytes_down: Annotated[int, Field(ge=0)]
    duration_s: Seconds


class LateUpdate(Value):
    """An update that came after its round was folded."""

    node: Id
    round: Round
    attempt: Round
    num_cases: Count
    update: DigestField


class Stand(StrEnum):
    """How a node stands to an experiment."""

    TAKES_PART = "takes_part"
    WAITS = "waits"
    """For its operator, or for an hour at which it may go on; it answers by itself."""
    REFUSED = "refused"
    FAILED = "failed"
    SILENT = "silent"
    """It was asked, and has not answered."""


class NodeStanding(Value):
    """One node as it stands to an experiment."""

    node: Id
    stand: Annotated[Stand, Word]
    code: ShortText = ""
    """Why it waits, or does not take part."""
    retry_at: Seconds | None = None
    """When it means to go on, in Unix seconds by its own clock, where it said so."""


class ExperimentReport(Value):
    """An experiment with all its closed rounds, as it stands."""

    TYPE: ClassVar = "experiment.report"

    experiment: Id
    spec: ExperimentSpec
    state: ShortText
    reason: LongText
    round: Round
    model: Manifest | None
    records: Annotated[list[RoundRecord], Field(max_length=100_000)]
    late: Annotated[list[LateUpdate], Field(max_length=100_000)] = Field(default_factory=list)
    nodes: Annotated[list[NodeStanding], Field(max_length=10_000)] = Field(default_factory=list)


class ReportList(Value):
    """The experiments of one researcher at one orchestrator, without their rounds."""

    TYPE: ClassVar = "experiment.list"

    reports: Annotated[list[ExperimentReport], Field(max_length=10_000)]
    num_running: Count
    """Experiments that the orchestrator leads, of whomever."""


class OrderReport(Value):
    """By what order the orchestrator leads an experiment: nobody else can show one of its own."""

    TYPE: ClassVar = "experiment.order"

    mandate: Mandate
