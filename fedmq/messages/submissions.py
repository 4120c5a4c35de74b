"""Submissions: what a researcher asks of the orchestrator, and what comes back."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from fedmq.messages.fields import (
    Config,
    Count,
    DigestField,
    Id,
    LongText,
    Manifest,
    MetricsField,
    PlanReference,
    Round,
    Seconds,
    Seed,
    ShortText,
    Source,
    Study,
    ValidationShare,
    Value,
    Word,
)

Ids = Annotated[list[Id], Field(max_length=10_000)]


class LateUpdates(StrEnum):
    """What becomes of an update that comes after its round is folded."""

    DROP = "drop"
    KEEP = "keep"
    """It is kept beside the models, for the record; no model is made of it."""


class ExperimentSpec(Value):
    """An experiment, whole: what the researcher publishes and every record repeats."""

    name: Id
    purpose: ShortText
    plan: PlanReference
    dataset: ShortText
    config: Config = Field(default_factory=dict)
    num_rounds: Annotated[int, Field(ge=1, le=100_000)]
    nodes: Ids = Field(default_factory=list)
    """The nodes to ask; empty: every node of the federation that is heard of."""
    quorum: Annotated[int, Field(ge=1, le=10_000)]
    """Least number of nodes whose updates make a round."""
    round_deadline_s: Annotated[float, Field(gt=0, le=30 * 86_400)] = 86_400.0
    waiting_deadline_s: Annotated[float, Field(gt=0, le=365 * 86_400)] = 7 * 86_400.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """So often the nodes are asked that are missing from a round which has no quorum."""
    late_updates: Annotated[LateUpdates, Word] = LateUpdates.DROP
    evaluate: bool = True
    seed: Seed = 0
    validation_share: ValidationShare = 0.2
    num_threads: Annotated[int, Field(ge=1, le=1_024)] = 1
    study: Study | None = None


class Submission(Value):
    """Run this experiment, from these initial parameters (round 0)."""

    TYPE: ClassVar = "experiment.submission"

    spec: ExperimentSpec
    plan_source: Source | None = None
    initial: Manifest


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
    STOP = "stop"
    PAUSE = "pause"
    RESUME = "resume"


class Query(Value):
    """Ask about one experiment, or about all of them; or stop, pause or resume one."""

    TYPE: ClassVar = "experiment.query"

    kind: Annotated[QueryKind, Word]
    experiment: Id = "-"


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
    """The experiments of one researcher, without their rounds."""

    TYPE: ClassVar = "experiment.list"

    reports: Annotated[list[ExperimentReport], Field(max_length=10_000)]
