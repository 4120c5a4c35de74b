"""Heads of audit logs, as nodes tell them and as the orchestrator answers: signed, or objected."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from fedmq.messages.fields import Counter, DigestField, Value, Word


class ToldHead(Value):
    """How far a node's audit log has come, told with what the node sends anyway."""

    log: DigestField
    """The log's name: the hash of the entry that it began with."""
    place: Counter
    """The node's first head is in place 1: messages overtake each other, places do not."""
    number: Counter
    """Of the last entry."""
    hash: DigestField


class SignedHead(Value):
    """A head that the orchestrator has signed, and keeps (`fedmq.security.heads`)."""

    log: DigestField
    number: Counter
    hash: DigestField
    at_ms: Annotated[int, Field(ge=0, lt=2**63)]
    """Unix milliseconds by the orchestrator's clock, when it saw the head first."""
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class HeadCode(StrEnum):
    """Why the orchestrator does not sign a head."""

    REWRITTEN = "rewritten"
    """The entry of this number had another hash."""
    WENT_BACK = "went_back"
    """The log was longer when an earlier head of it was told."""


class ObjectedHead(Value):
    """A head that does not go with those that the orchestrator keeps of this log."""

    log: DigestField
    number: Counter
    code: Annotated[HeadCode, Word]
    kept: Counter
    """The number of the newest head that it keeps."""
