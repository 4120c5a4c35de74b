"""Notices: told, not asked. Those on the events exchange may be lost."""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

from pydantic import Field

from fedmq.messages.data import Summaries
from fedmq.messages.fields import (
    Count,
    Id,
    LongText,
    MessageIdField,
    Round,
    Seconds,
    ShortText,
    Value,
    Word,
)
from fedmq.messages.heads import ObjectedHead, SignedHead


class Receipt(Value):
    """The message that the correlation id names is in the receiver's journal, payload complete."""

    TYPE: ClassVar = "receipt"

    of: MessageIdField
    head: SignedHead | ObjectedHead | None = None
    """What becomes of the head that the message told."""


class NodeOnline(Value):
    """A node started and reads its queues."""

    TYPE: ClassVar = "node.online"

    version: ShortText


class Hello(Value):
    """A node has a connection again; what it was sent before is in its queue."""

    TYPE: ClassVar = "hello"

    nonce: ShortText
    datasets: Summaries = Field(default_factory=list)
    """What the node tells of its data; empty where it has none, or tells nothing."""


class Welcome(Value):
    """The answer to a hello: all that was sent before it stands before it in the queue."""

    TYPE: ClassVar = "welcome"

    nonce: ShortText


MAX_ROSTER_CHARS: Final = 900_000


class RosterNotice(Value):
    """The members of the federation with their keys, as its governance signed them."""

    TYPE: ClassVar = "roster"

    content: Annotated[str, Field(max_length=MAX_ROSTER_CHARS)]
    """JSON, to the byte what was signed (`fedmq.security.roster`)."""
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class Activity(StrEnum):
    """What a node is doing."""

    IDLE = "idle"
    RECEIVING = "receiving"
    PREPARING = "preparing"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SENDING = "sending"
    DRAINING = "draining"
    DISK_FULL = "disk_full"
    """It waits for room."""


class Heartbeat(Value):
    """A node is alive and does this; the envelope says for which experiment and round."""

    TYPE: ClassVar = "heartbeat"

    version: ShortText
    activity: Annotated[Activity, Word]
    progress: Annotated[float, Field(ge=0, le=1)]
    num_waiting: Count


class NodeOverview(Value):
    """One node as the orchestrator knows it."""

    node: Id
    heard_at: Seconds
    activity: Annotated[Activity, Word]
    experiment: Id
    round: Round
    progress: Annotated[float, Field(ge=0, le=1)]


class ExperimentOverview(Value):
    """One experiment as its orchestrator knows it; `reason` says what it waits for."""

    experiment: Id
    state: ShortText
    round: Round
    num_rounds: Round
    reason: LongText


class Overview(Value):
    """The orchestrator is alive; the nodes and experiments it knows."""

    TYPE: ClassVar = "overview"

    version: ShortText
    nodes: Annotated[list[NodeOverview], Field(max_length=10_000)]
    experiments: Annotated[list[ExperimentOverview], Field(max_length=10_000)]
    stand_bys: Count = 0
    """How many programs would take over its experiments."""


class ExperimentOver(Value):
    """An experiment ended: nodes drop what they hold for it, the researcher may fetch."""

    TYPE: ClassVar = "experiment.over"

    state: ShortText
    reason: LongText
