"""Requests: what the orchestrator asks of a node."""

from typing import Annotated, ClassVar

from pydantic import Field

from fedmq.messages.fields import Manifest, Round, Seconds, Source, Value
from fedmq.messages.mandates import ExperimentSpec, Mandate


class Asking(Value):
    """What all requests for work have in common: the mandate says all that decides their result."""

    mandate: Mandate

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment, as its researcher signed it."""
        return self.mandate.order.spec

    @property
    def researcher(self) -> str:
        """Who signed it."""
        return self.mandate.order.researcher


class PrepareRequest(Asking):
    """Can this node take part: has it the dataset, and may the plan run there?"""

    TYPE: ClassVar = "prepare.request"

    plan_source: Source | None = None


class Work(Asking):
    """What training and evaluation have in common."""

    parameters: Manifest

    @property
    def is_narrow(self) -> bool:
        """Whether the parameters are a model in fewer bytes; the researcher's own never are."""
        return self.spec.narrows_models and self.parameters != self.mandate.order.initial


class Counted(Value):
    """An update by the request that it answered, of an experiment and a node that are known."""

    round: Round
    attempt: Round


class TrainRequest(Work):
    """Train from these parameters and answer with an update."""

    TYPE: ClassVar = "train.request"

    counted: Counted | None = None
    """The newest update of this node that is in a model, where the next one begins with what was
    left unsent of that one; None: with nothing."""


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
