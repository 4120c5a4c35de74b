"""The rights of the federation's members at the broker, by the names of the topology.

Each may read its own queues and write under its own name, and nothing else: a name that the broker
has checked is the first proof of who speaks. Reasons: docs/adr/0002-topology.md.
"""

import re
from dataclasses import dataclass, field

from fedmq.transport.asking import join_answers, join_exchange
from fedmq.transport.declarations import exactly
from fedmq.transport.topology import (
    ANSWERS,
    DESK,
    EVENTS,
    ID_OR_NOWHERE,
    MONITOR_DEAD,
    MONITOR_EVENTS,
    MONITOR_OVERVIEWS,
    REPLIES,
    SUBMISSIONS,
    TASKS,
    Lane,
    desk,
    node_payloads,
    node_tasks,
    orchestrator_events,
    orchestrator_inbox,
    researcher_inbox,
    researcher_payloads,
)
from fedmq.types import NodeId, ResearcherId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one broker user may do: three anchored patterns, and keys by exchange."""

    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topics: dict[str, str] = field(default_factory=dict)
    """Exchange -> pattern of the routing keys that the user may publish there."""
    bindings: dict[str, str] = field(default_factory=dict)
    """Exchange -> pattern of the keys by which the user may bind there; by no other key.

    Only where the user may read the exchange too. It is asked for exchanges as for queues.
    """


def node_rights(node: NodeId) -> Rights:
    """Return a node's rights: read its own queues, write under its own name."""
    own = rf"^{re.escape(node)}\.({DESK})\.({Lane.CONTROL}|{Lane.BULK})$"
    return Rights(
        write=exactly(REPLIES, EVENTS, join_exchange(node)),
        read=exactly(node_tasks(node), node_payloads(node)),
        topics={
            REPLIES: own,
            EVENTS: rf"^({ID_OR_NOWHERE})\.{re.escape(node)}\.[a-z]+$",
        },
    )


def orchestrator_rights(orchestrator: str) -> Rights:
    """Return an orchestrator's rights: it declares the queues of its own experiments, no others.

    And it binds them to what is for itself: a queue with its name would else get what others are
    sent, and be full when it likes.
    """
    name = re.escape(orchestrator)
    own = rf"experiment\.{desk(ID_OR_NOWHERE, name)}\.[a-z]+"
    sent_to_it = rf"^\*\.{desk(ID_OR_NOWHERE, name)}\.({Lane.CONTROL}|{Lane.BULK})$"
    inbox, events = map(
        re.escape, (orchestrator_inbox(orchestrator), orchestrator_events(orchestrator))
    )
    return Rights(
        configure=rf"^{own}$",
        # Binding a queue needs write on the queue and read on the exchange.
        write=rf"^({re.escape(TASKS)}|{re.escape(ANSWERS)}|{re.escape(EVENTS)}"
        rf"|{re.escape(join_exchange(orchestrator))}|{own})$",
        read=rf"^({inbox}|{events}|{own}|{re.escape(REPLIES)}|{re.escape(SUBMISSIONS)})$",
        topics={EVENTS: rf"^({ID_OR_NOWHERE})\.{name}\.[a-z]+$"},
        bindings={REPLIES: sent_to_it, SUBMISSIONS: sent_to_it},
    )


def researcher_rights(researcher: ResearcherId) -> Rights:
    """Return a researcher's rights: read its own queues, write under its own name."""
    own = rf"^{re.escape(researcher)}\.({DESK})\.({Lane.CONTROL}|{Lane.BULK})$"
    return Rights(
        write=exactly(SUBMISSIONS, join_exchange(researcher)),
        read=exactly(researcher_inbox(researcher), researcher_payloads(researcher)),
        topics={SUBMISSIONS: own},
    )


def join_rights(name: str) -> Rights:
    """Return the rights of who wants to become a member: ask under that name, read the answer."""
    return Rights(write=exactly(join_exchange(name)), read=exactly(join_answers(name)))


def monitor_rights() -> Rights:
    """Return a monitor's rights: read the streams, which no reader can change."""
    return Rights(read=exactly(MONITOR_EVENTS, MONITOR_DEAD, MONITOR_OVERVIEWS))
