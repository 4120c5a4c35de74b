"""Requests: what the orchestrator asks of a node."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedmq.messages.fields import (
    Config,
    Manifest,
    PlanReference,
    Quorum,
    Rounds,
    Seconds,
    Seed,
    ShortText,
    Source,
    Study,
    ValidationShare,
    Value,
)


class PrepareRequest(Value):
    """Can this node take part: has it the dataset, and may the plan run there?"""

    TYPE: ClassVar = "prepare.request"

    plan: PlanReference
    plan_source: Source | None = None
    dataset: ShortText
    """The name under which nodes registered the data, the same at every node."""
    config: Config
    split_seed: Seed
    validation_share: ValidationShare
    """With its seed, what the node counts: so many cases would train, so many evaluate."""
    researcher: ShortText
    purpose: ShortText
    study: Study | None = None
    num_rounds: Rounds = 0
    quorum: Quorum = 0
    """No model is made of the updates of fewer nodes; 0: it is not said."""


class Work(Value):
    """What training and evaluation have in common: all that decides their result."""

    plan: PlanReference
    dataset: ShortText
    config: Config
    parameters: Manifest
    seed: Seed
    split_seed: Seed
    validation_share: ValidationShare
    num_threads: Annotated[int, Field(ge=1, le=1_024)]
    researcher: ShortText = ""
    """With study and quorum what its prepare request said: each order is judged by itself."""
    study: Study | None = None
    quorum: Quorum = 0


class TrainRequest(Work):
    """Train from these parameters and answer with an update."""

    TYPE: ClassVar = "train.request"


class EvaluateRequest(Work):
    """Evaluate these parameters and answer with metrics."""

    TYPE: ClassVar = "evaluate.request"


class CancelRequest(Value):
    """Stop what this experiment has running or waiting at the node."""

    TYPE: ClassVar = "cancel.request"

    before_attempt: Annotated[int, Field(ge=0)]


class PingRequest(Value):
    """Say that you are there."""

    TYPE: ClassVar = "ping.request"

    asked_at: Seconds
