"""Presence: which nodes were heard of, when, and doing what; gone with the process."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Place
from fedmq.messages.notices import Activity, Heartbeat, NodeOverview
from fedmq.types import NodeId

LATELY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Sign:
    at: float
    """Unix seconds, for people."""
    heard_at: float
    """By the steady clock, for the time since then."""
    activity: Activity
    progress: float
    place: Place


class Presence:
    """The last sign of life of each node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._signs: dict[NodeId, _Sign] = {}

    def note(self, message: Message) -> NodeId:
        """Note a message of a node as its sign of life; return the node."""
        node = NodeId(message.envelope.sender)
        times = (self._clock.now(), self._clock.steady())
        before = self._signs.get(node)
        match message.body:
            case Heartbeat(activity=activity, progress=progress):
                sign = _Sign(*times, activity, progress, message.envelope.place)
            case _ if before is not None:
                sign = _Sign(*times, before.activity, before.progress, before.place)
            case _:
                sign = _Sign(*times, Activity.IDLE, 0.0, Place())
        self._signs[node] = sign
        return node

    def nodes(self) -> tuple[NodeId, ...]:
        """Return all nodes that were heard of, by name."""
        return tuple(sorted(self._signs))

    def is_near(self, node: NodeId) -> bool:
        """Return whether a node was heard of lately."""
        sign = self._signs.get(node)
        return sign is not None and self._clock.steady() - sign.heard_at < LATELY_S

    def describe_absent(self, awaited: Iterable[NodeId]) -> str:
        """Return of the awaited nodes why they cannot answer: away since when, or no room.

        Empty where all of them can.
        """
        now = self._clock.steady()
        parts = []
        for node in awaited:
            sign = self._signs.get(node)
            if sign is None:
                parts.append(f"{node} not heard of since the orchestrator started")
            elif not self.is_near(node):
                parts.append(f"{node} last heard {_ago(now - sign.heard_at)}")
            elif sign.activity is Activity.DISK_FULL:
                parts.append(f"the disk of {node} is full")
        return ", ".join(parts)

    def overview(self) -> list[NodeOverview]:
        """Return what is known of every node."""
        return [
            NodeOverview(
                node=node,
                heard_at=sign.at,
                activity=sign.activity,
                experiment=sign.place.experiment,
                round=sign.place.round,
                progress=sign.progress,
            )
            for node, sign in sorted(self._signs.items())
        ]


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
