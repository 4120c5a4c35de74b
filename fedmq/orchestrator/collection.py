"""One leg of a round as a pure state machine: nodes are asked, answers come, a time runs out.

Two rules: everything that changes the state of a leg is here; nothing here knows what was asked
(to prepare, to train, to evaluate) or how it travels.

collecting --answer--> collecting | complete | failed
collecting --deadline--> complete (with a quorum) | failed
complete and failed take every further event without changing.

A leg is complete when every node that was asked has answered and at least the quorum said yes, or
when the deadline finds a quorum. It fails as soon as a quorum cannot be reached any more. A node
that keeps its work for later is waited for as long as a quorum needs it; beyond that only where its
hour comes before the deadline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from fedmq.types import NodeId


class Verdict(StrEnum):
    """What a node's answer amounts to."""

    YES = "yes"
    REFUSED = "refused"
    FAILED = "failed"


class Phase(StrEnum):
    """Where a leg stands."""

    COLLECTING = "collecting"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A node answered; `code` says why it refused or what failed."""

    node: NodeId
    verdict: Verdict
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """A node will answer later, and says why; `until` when it means to go on, if it knows."""

    node: NodeId
    code: str
    until: float | None = None
    retry_at: float | None = None
    """The same by the node's own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time went on."""


Event = Answered | Waits | Ticked


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The state of a leg: who was asked, who answered what, until when."""

    asked: frozenset[NodeId]
    quorum: int
    deadline: float
    """Unix seconds."""
    answers: Mapping[NodeId, Answered] = field(default_factory=dict)
    waits: Mapping[NodeId, Waits] = field(default_factory=dict)
    """The nodes that said that they answer later."""
    phase: Phase = Phase.COLLECTING

    @property
    def agreed(self) -> tuple[NodeId, ...]:
        """The nodes that said yes, by name."""
        return tuple(
            sorted(node for node, answer in self.answers.items() if answer.verdict is Verdict.YES)
        )

    @property
    def missing(self) -> tuple[NodeId, ...]:
        """The nodes that have not answered, by name."""
        return tuple(sorted(self.asked - self.answers.keys()))

    def is_missing(self, node: NodeId) -> bool:
        """Return whether a node was asked and has not answered."""
        return node in self.asked and node not in self.answers

    def advance(self, event: Event, *, now: float) -> "Collection":
        """Return the state after `event`; a late, repeated or unasked answer is ignored."""
        if self.phase is not Phase.COLLECTING:
            return self
        match event:
            case Answered(node=node):
                # The deadline speaks first: whether its tick or the answer is handled first is
                # chance, and chance must not decide who is in a round.
                if now >= self.deadline or not self.is_missing(node):
                    return _judge(self, now)
                return _judge(replace(self, answers={**self.answers, node: event}), now)
            case Waits(node=node):
                if now >= self.deadline or not self.is_missing(node):
                    return _judge(self, now)
                return _judge(replace(self, waits={**self.waits, node: event}), now)
            case Ticked():
                return _judge(self, now)
            case _:
                assert_never(event)

    def reason(self) -> str:
        """Return in plain words what the leg waits for, or how it ended."""
        parts = [f"{len(self.agreed)} of {len(self.asked)}"]
        if self.phase is Phase.COLLECTING and self.missing:
            parts.append("waiting for " + ", ".join(self.missing))
        elif self.phase is Phase.FAILED:
            parts.append(f"{self.quorum} are needed")
            if self.missing:
                parts.append("no answer from " + ", ".join(self.missing))
        parts.extend(
            f"{node} {answer.verdict}: {answer.code}"
            for node, answer in sorted(self.answers.items())
            if answer.verdict is not Verdict.YES
        )
        parts.extend(
            f"{node} waits: {self.waits[node].code}" for node in self.missing if node in self.waits
        )
        return "; ".join(parts)


def _judge(leg: Collection, now: float) -> Collection:
    """Return `leg` in the phase that its answers and the time give it."""
    # Counted, not sorted: this is done for every answer, of perhaps a thousand.
    num_agreed = sum(answer.verdict is Verdict.YES for answer in leg.answers.values())
    missing = leg.asked - leg.answers.keys()
    enough = num_agreed >= leg.quorum
    if num_agreed + len(missing) < leg.quorum:
        return replace(leg, phase=Phase.FAILED)
    if enough and not any(_may_come(leg, node) for node in missing):
        put_off = {node: _put_off(leg.waits[node]) for node in leg.missing}
        return replace(leg, phase=Phase.COMPLETE, answers={**leg.answers, **put_off})
    if now >= leg.deadline:
        return replace(leg, phase=Phase.COMPLETE if enough else Phase.FAILED)
    return leg


def _may_come(leg: Collection, node: NodeId) -> bool:
    """Return whether a missing node may answer before the deadline without anybody's help."""
    wait = leg.waits.get(node)
    return wait is None or (wait.until is not None and wait.until < leg.deadline)


def _put_off(wait: Waits) -> Answered:
    return Answered(node=wait.node, verdict=Verdict.REFUSED, code=wait.code)
