"""Status: the federation as its broker and its orchestrators show it, one row per node."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from fedmq.errors import BrokerRefused, BrokerUnavailable, ProtocolError, TransportError
from fedmq.hub.management import Management
from fedmq.messages.codec import decode
from fedmq.messages.notices import ExperimentOverview, NodeOverview, Overview
from fedmq.monitor.letters import peek, peek_dead
from fedmq.transport import topology
from fedmq.types import NOWHERE, NodeId

_PREFIX: Final = "node."
_SUFFIX: Final = ".tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """One node, from its queue and its last sign of life."""

    node: str
    online: bool
    """Somebody reads its queue."""
    heard_at: float | None
    """Unix seconds, on the orchestrator's clock; None where no orchestrator heard of it."""
    waiting: int
    in_hand: int
    redelivered: int
    dead: int | None
    """Dead letters of its queues; None where the broker does not let them be looked at."""
    doing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStatus:
    """What can be seen now."""

    nodes: tuple[NodeStatus, ...]
    experiments: tuple[ExperimentOverview, ...]
    num_dead: int
    orchestrators: tuple[str, ...]
    """Which orchestrators were heard in the last minute."""


def read_status(management: Management, vhost: str) -> FederationStatus:
    """Return what the management API and the events of the last minute say.

    Raises:
        TransportError: the management does not answer, or refuses.
    """
    queues = {
        str(queue["name"]): queue
        for queue in cast("list[dict[str, Any]]", management.get("queues", vhost))
    }
    names = [
        NodeId(name.removeprefix(_PREFIX).removesuffix(_SUFFIX))
        for name in sorted(queues)
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    ]
    overviews = {
        sender: overview
        for sender, overview in _read_overviews(management, vhost).items()
        if sender not in names  # nodes may write events, but lead nothing
    }
    heard: dict[str, NodeOverview] = {}
    for overview in overviews.values():
        for one in overview.nodes:
            if one.node not in heard or heard[one.node].heard_at < one.heard_at:
                heard[one.node] = one
    dead = _count_dead(management, vhost)
    experiments = [one for overview in overviews.values() for one in overview.experiments]
    return FederationStatus(
        nodes=tuple(
            _node_status(node, queues[topology.node_tasks(node)], heard.get(node), dead)
            for node in names
        ),
        experiments=tuple(sorted(experiments, key=lambda one: one.experiment)),
        num_dead=_num_dead(dead, queues.get(topology.DEAD_QUEUE, {})),
        orchestrators=tuple(sorted(overviews)),
    )


def _num_dead(dead: Counter[str] | None, queue: Mapping[str, Any]) -> int:
    """Return how many dead letters there are.

    The broker's own number lags by seconds; those that another watcher looks at are not seen.
    """
    return max(int(queue.get("messages") or 0), 0 if dead is None else dead.total())


def _count_dead(management: Management, vhost: str) -> Counter[str] | None:
    """Return how many dead letters each queue has, None where looking at them does harm."""
    try:
        return Counter(letter.queue for letter in peek_dead(management, vhost))
    except (BrokerRefused, BrokerUnavailable):
        raise
    except TransportError:
        return None


def _node_status(
    node: NodeId,
    queue: Mapping[str, Any],
    heard: NodeOverview | None,
    dead: Counter[str] | None,
) -> NodeStatus:
    stats = queue.get("message_stats") or {}
    own = (topology.node_tasks(node), topology.node_payloads(node))
    return NodeStatus(
        node=node,
        online=int(queue.get("consumers") or 0) > 0,
        heard_at=None if heard is None else heard.heard_at,
        waiting=int(queue.get("messages_ready") or 0),
        in_hand=int(queue.get("messages_unacknowledged") or 0),
        redelivered=int(stats.get("redeliver") or 0),
        dead=None if dead is None else sum(dead[name] for name in own),
        doing=_doing(heard),
    )


def _doing(heard: NodeOverview | None) -> str:
    if heard is None:
        return "not heard of"
    if heard.experiment == NOWHERE:
        return heard.activity
    # The name comes last: it is what a narrow screen may cut.
    return f"{heard.activity} round {heard.round} ({heard.progress:.0%}) of {heard.experiment}"


def _read_overviews(management: Management, vhost: str) -> dict[str, Overview]:
    """Return the newest overview of each sender in the last minute."""
    newest: dict[str, tuple[float, Overview]] = {}
    # All that are there: the oldest come first, and the newest matter.
    for letter in peek(management, vhost, topology.MONITOR_EVENTS, topology.EVENT_LENGTH):
        try:
            message = decode(letter.body)
        except ProtocolError:
            continue
        sender, at = message.envelope.sender, message.envelope.sent_at
        # The broker vouches for the user; whoever writes under another's name is not believed.
        if not isinstance(message.body, Overview) or letter.user != sender:
            continue
        if sender not in newest or newest[sender][0] <= at:
            newest[sender] = (at, message.body)
    return {sender: overview for sender, (_, overview) in newest.items()}
