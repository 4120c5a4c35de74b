"""The envelope: who sends what to whom, within which round; the same for every message."""

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from fedmq.messages.fields import (
    Counter,
    Id,
    MessageIdField,
    RosterHashField,
    Round,
    Seconds,
    ShortText,
    StreamField,
)
from fedmq.types import NOWHERE

MAJOR: Final = 1
MINOR: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in an experiment a message belongs."""

    experiment: str = NOWHERE
    round: int = 0
    attempt: int = 0


class Envelope(BaseModel):
    """The header of a message; the broker's properties mirror it for people."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    major: Annotated[int, Field(ge=0, le=65_535)] = MAJOR
    minor: Annotated[int, Field(ge=0, le=65_535)] = MINOR
    type: ShortText
    message_id: MessageIdField
    correlation_id: MessageIdField | None = None
    """The message that this one answers."""
    sender: Id
    recipient: Id
    """`-` where the broker fans the message out."""
    experiment: Id = "-"
    round: Round = 0
    attempt: Round = 0
    """Counts how often a round was begun; an answer to an older attempt is stale."""
    sent_at: Seconds
    """Unix seconds on the sender's clock: shown, never decided upon."""
    expires_at: Seconds | None = None
    """After this a request is not begun any more."""
    roster: Counter = 0
    """The version of the roster that the sender knows."""
    roster_hash: RosterHashField = "-"
    """Its hash, which the wire writes: a receiver with another roster of this version refuses the
    message. `-` where no roster is kept."""
    epoch: Counter = 0
    """Of an orchestrator: each program that takes over its experiments has a higher one, and nodes
    take no request of a lower one. 0: of nobody who leads."""
    stream: StreamField = "-"
    """Where the sender counts: one journal, which may be lost and begun anew."""
    counter: Counter = 0
    """How many the sender had sent to this recipient, this one included: what has been counted once
    is not taken again. Of messages that may be lost: larger than that of the one before. 0: chunks,
    which their digest knows."""

    @property
    def place(self) -> Place:
        """Where in an experiment the message belongs."""
        return Place(experiment=self.experiment, round=self.round, attempt=self.attempt)
