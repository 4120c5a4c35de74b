"""Presence: which nodes were heard of, when, and doing what; of that, when outlives the process."""

from collections.abc import Iterable
from dataclasses import dataclass

from fedmq.clocks import Clock
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Place
from fedmq.messages.notices import Activity, Heartbeat, NodeOverview
from fedmq.orchestrator.heard import (
    KEEP_S,
    LATELY_S,
    describe_absent,
    read_heard,
    write_heard,
)
from fedmq.transport.journal import Journal
from fedmq.types import NodeId


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

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._kept = read_heard(journal)
        self._keep_at = clock.steady() + KEEP_S
        self._signs = {node: self._remembered(at) for node, at in self._kept.items()}

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

    def keep(self) -> None:
        """Write down now and then when nodes were heard of."""
        if self._clock.steady() < self._keep_at:
            return
        self._keep_at = self._clock.steady() + KEEP_S
        times = {node: sign.at for node, sign in self._signs.items()}
        news = {node: at for node, at in times.items() if self._kept.get(node) != at}
        if news:
            write_heard(self._journal, news)
            self._kept |= news

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
        nodes, now = tuple(awaited), self._clock.steady()
        ages = {node: now - sign.heard_at for node, sign in self._signs.items()}
        full = [
            f"the disk of {node} is full"
            for node in nodes
            if self.is_near(node) and self._signs[node].activity is Activity.DISK_FULL
        ]
        return ", ".join([*describe_absent(nodes, ages), *full])

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

    def _remembered(self, at: float) -> _Sign:
        """Return the sign that an earlier life kept; a clock that was set makes it no younger."""
        age_s = max(0.0, self._clock.now() - at)
        return _Sign(at, self._clock.steady() - age_s, Activity.IDLE, 0.0, Place())
