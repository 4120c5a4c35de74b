"""What happens to an experiment (events, kept in its log) and what it asks for (actions). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from fedmq.messages.fields import Manifest, MetricsField, Value
from fedmq.messages.requests import Counted
from fedmq.messages.submissions import RoundRecord
from fedmq.types import NodeId

Leg = Literal["train", "evaluate"]


class _OfNode(Value):
    node: NodeId


class _OfLeg(_OfNode):
    round: int
    attempt: int


class Heard(_OfNode):
    """A node of the federation gave a sign of life for the first time in this experiment."""

    kind: Literal["heard"] = "heard"


class Agreed(_OfNode):
    """A node takes part."""

    kind: Literal["agreed"] = "agreed"


class Declined(_OfNode):
    """A node does not take part; or not yet: its operator has to approve, or an hour to come."""

    kind: Literal["declined"] = "declined"
    code: str
    is_final: bool
    retry_at: float | None = None
    """When it may, in Unix seconds by the node's clock."""


class Trained(_OfLeg):
    """A node's update is here, and is what the model declares."""

    kind: Literal["trained"] = "trained"
    update: Manifest
    num_cases: int
    metrics: MetricsField
    duration_s: float


class Evaluated(_OfLeg):
    """A node's metrics are here."""

    kind: Literal["evaluated"] = "evaluated"
    num_cases: int
    metrics: MetricsField
    duration_s: float


class Fell(_OfLeg):
    """A node refused or failed in a leg."""

    kind: Literal["fell"] = "fell"
    leg: Leg
    code: str
    is_refusal: bool


class Deferred(_OfLeg):
    """A node keeps its work of a leg and does it later: when it may."""

    kind: Literal["deferred"] = "deferred"
    leg: Leg
    code: str
    retry_at: float | None
    """As the node says, in Unix seconds."""
    until: float | None
    """The same by the time that deadlines are in; None: nobody knows."""


class Folded(Value):
    """The updates of the round are folded into its model."""

    kind: Literal["folded"] = "folded"
    model: Manifest
    sent: Manifest | None = None
    """What nodes are sent of it, where that is another file."""


class FoldFailed(Value):
    """The updates could not be folded."""

    kind: Literal["fold_failed"] = "fold_failed"
    why: str


class StopAsked(Value):
    """The researcher wants no more."""

    kind: Literal["stop_asked"] = "stop_asked"


class PauseAsked(Value):
    """The researcher wants nothing new to begin."""

    kind: Literal["pause_asked"] = "pause_asked"


class ResumeAsked(Value):
    """The researcher wants it to go on."""

    kind: Literal["resume_asked"] = "resume_asked"


class RoomLacked(Value):
    """The orchestrator's disk may not hold what the next round brings: none begins."""

    kind: Literal["room_lacked"] = "room_lacked"
    needed_bytes: int


class RoomFound(Value):
    """There is room again."""

    kind: Literal["room_found"] = "room_found"


class Ticked(Value):
    """Time went on, and that changed something."""

    kind: Literal["ticked"] = "ticked"


Event = (
    Heard
    | Agreed
    | Declined
    | Trained
    | Evaluated
    | Fell
    | Deferred
    | Folded
    | FoldFailed
    | StopAsked
    | PauseAsked
    | ResumeAsked
    | RoomLacked
    | RoomFound
    | Ticked
)

EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
"""Writes and reads an event as JSON, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPrepare:
    """Ask a node whether it takes part."""

    node: NodeId


@dataclass(frozen=True, slots=True, kw_only=True)
class AskWork:
    """Ask nodes to train from, or to evaluate, the model; send it along if it is new to them."""

    leg: Leg
    nodes: tuple[NodeId, ...]
    round: int
    attempt: int
    model: Manifest
    deadline: float
    is_new: bool
    counted: Mapping[NodeId, Counted] = field(default_factory=dict)
    """The newest update of each node that is in a model, where its next one depends on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Fold these updates into the model of the round."""

    round: int
    reference: Manifest
    updates: tuple[tuple[NodeId, Manifest, int], ...]
    """Node, update, cases; by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLate:
    """Keep an update that came too late for its round, for the record."""

    round: int
    node: NodeId
    update: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Keep the record of the round that closed; the state holds none, however many there are."""

    record: RoundRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Tell the nodes that the experiment is over."""

    nodes: tuple[NodeId, ...]


Action = AskPrepare | AskWork | Fold | KeepLate | Keep | Announce
