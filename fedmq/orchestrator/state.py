"""The state of an experiment, and what it says of itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.replies import FailureCode, RefusalCode
from fedmq.messages.requests import Counted
from fedmq.messages.submissions import LateUpdate
from fedmq.orchestrator.collection import Answered, Collection, Phase, Verdict
from fedmq.orchestrator.events import Declined, Evaluated, Trained
from fedmq.types import NodeId

PAUSED: Final = "paused"
_PASSING: Final[frozenset[str]] = frozenset(
    {
        RefusalCode.EXPIRED,
        RefusalCode.ROSTER_MISSING,
        FailureCode.WORKER_DIED,
        FailureCode.OUT_OF_MEMORY,
        FailureCode.DISK_FULL,
        FailureCode.INTERNAL,
    }
)
"""Codes that say nothing of the next attempt; with the same seed, the others come again."""


class Stage(StrEnum):
    """Where an experiment stands."""

    PREPARING = "preparing"
    TRAINING = "training"
    FOLDING = "folding"
    EVALUATING = "evaluating"
    FINISHED = "finished"
    FINISHED_SHORT = "finished_short"
    """All rounds are closed, some without a node that was asked."""
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen any more."""
        return self in _OVER


_OVER: Final = frozenset({Stage.FINISHED, Stage.FINISHED_SHORT, Stage.FAILED, Stage.STOPPED})

Held = Literal["", "round", "evaluation"]
"""What would have begun, were the experiment not paused, or without room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The state of one experiment."""

    spec: ExperimentSpec
    model: Manifest
    """The newest parameters."""
    began_at: float
    sent: Manifest | None = None
    """What nodes are sent of them, where that is another file."""
    model_round: int = 0
    """The round that made them; 0: the initial ones."""
    stage: Stage = Stage.PREPARING
    why: str = ""
    """Why it failed."""
    asked: frozenset[NodeId] = frozenset()
    members: frozenset[NodeId] = frozenset()
    declined: Mapping[NodeId, Declined] = field(default_factory=dict)
    quorum_at: float | None = None
    """When enough nodes had agreed for the first round."""
    paused_at: float | None = None
    lacking_bytes: int = 0
    """What the disk was to hold for the next round, and did not; 0: there was room."""
    held: Held = ""
    round: int = 0
    round_began_at: float = 0.0
    attempt: int = 0
    """Of the round: 0 at first, one more for each time that nodes are asked again."""
    retry_at: float | None = None
    """When the missing nodes are asked again, after a leg that found no quorum."""
    leg: Collection | None = None
    cohort: frozenset[NodeId] = frozenset()
    """Who was asked to train in this round."""
    trained: Mapping[NodeId, Trained] = field(default_factory=dict)
    evaluated: Mapping[NodeId, Evaluated] = field(default_factory=dict)
    train_answers: Mapping[NodeId, Answered] = field(default_factory=dict)
    missed: Mapping[NodeId, tuple[int, ...]] = field(default_factory=dict)
    """Closed rounds by the nodes that were asked in them and are not in their model."""
    late: tuple[LateUpdate, ...] = ()
    counted: Mapping[NodeId, Counted] = field(default_factory=dict)
    """The newest update of each node that is in a model."""

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen any more."""
        return self.stage.is_over

    @property
    def travelling(self) -> Manifest:
        """The newest parameters as they travel to nodes."""
        return self.model if self.sent is None else self.sent

    @property
    def shown(self) -> str:
        """The word for where it stands: its stage, or that it is paused."""
        return self.stage if self.paused_at is None or self.is_over else PAUSED

    @property
    def awaited(self) -> tuple[NodeId, ...]:
        """The nodes whose answers it waits for, by name."""
        if self.stage is Stage.PREPARING:
            return tuple(sorted(self.asked - self.members - self.declined.keys()))
        if self.leg is not None and self.leg.phase is Phase.COLLECTING and not self.is_over:
            return self.leg.missing
        return ()

    def reason(self) -> str:
        """Return in plain words what it waits for, or how it ended."""
        if self.why:
            return self.why
        words = "paused by the researcher; " if self.paused_at is not None else ""
        if self.lacking_bytes and self.held == "round":
            mega = self.lacking_bytes / 1_000_000
            words += f"the orchestrator's disk has no room for a round: {mega:.0f} MB needed; "
        if self.stage is Stage.PREPARING:
            return words + waiting_reason(self)
        if self.leg is None or self.stage not in {Stage.TRAINING, Stage.EVALUATING}:
            return words.removesuffix("; ")
        words += self.leg.reason()
        if self.retry_at is not None:
            words += f"; attempt {self.attempt + 2} of {self.spec.max_attempts} follows"
        elif self.attempt:
            words += f"; attempt {self.attempt + 1} of {self.spec.max_attempts}"
        return words


def waiting_reason(state: Experiment) -> str:
    """Return what an experiment waits for before its first round."""
    parts = [f"{len(state.members)} of at least {state.spec.quorum} nodes take part"]
    silent = sorted(state.asked - state.members - state.declined.keys())
    if silent:
        parts.append("no answer yet from " + ", ".join(silent))
    parts.extend(f"{node}: {one.code}" for node, one in sorted(state.declined.items()))
    return "; ".join(parts)


def keeps(answer: Answered) -> bool:
    """Return whether an answer holds for the next attempt too: a yes, or a no that stays."""
    return answer.verdict is Verdict.YES or answer.code not in _PASSING
