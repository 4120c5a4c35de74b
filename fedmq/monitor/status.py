"""Status: the federation as its broker and its orchestrators show it, one row per node."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from fedmq.errors import ProtocolError
from fedmq.hub.management import Management
from fedmq.messages.codec import decode
from fedmq.messages.notices import ExperimentOverview, NodeOverview, Overview
from fedmq.monitor.letters import peek, peek_dead
from fedmq.transport import topology
from fedmq.types import NOWHERE, NodeId

MAX_EVENTS: Final = 200
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
    dead: int
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
    overviews = _read_overviews(management, vhost)
    heard = {node.node: node for _, overview in overviews for node in overview.nodes}
    dead = [letter.queue for letter in peek_dead(management, vhost)]
    queues = cast("list[dict[str, Any]]", management.get("queues", vhost))
    nodes = []
    for queue in queues:
        name = str(queue["name"])
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
            node = NodeId(name.removeprefix(_PREFIX).removesuffix(_SUFFIX))
            own = {topology.node_tasks(node), topology.node_payloads(node)}
            num_dead = sum(letter in own for letter in dead)
            nodes.append(_node_status(node, queue, heard.get(node), num_dead))
    experiments = {one.experiment: one for _, overview in overviews for one in overview.experiments}
    newest = overviews[-1][1].experiments if overviews else ()
    running = {one.experiment for one in newest}
    return FederationStatus(
        nodes=tuple(sorted(nodes, key=lambda one: one.node)),
        experiments=tuple(experiments[name] for name in sorted(running)),
        num_dead=len(dead),
        orchestrators=tuple(sorted({sender for sender, _ in overviews})),
    )


def _node_status(
    node: NodeId, queue: Mapping[str, Any], heard: NodeOverview | None, num_dead: int
) -> NodeStatus:
    stats = queue.get("message_stats") or {}
    return NodeStatus(
        node=node,
        online=int(queue.get("consumers") or 0) > 0,
        heard_at=None if heard is None else heard.heard_at,
        waiting=int(queue.get("messages_ready") or 0),
        in_hand=int(queue.get("messages_unacknowledged") or 0),
        redelivered=int(stats.get("redeliver") or 0),
        dead=num_dead,
        doing=_doing(heard),
    )


def _doing(heard: NodeOverview | None) -> str:
    if heard is None:
        return "not heard of"
    if heard.experiment == NOWHERE:
        return heard.activity
    return f"{heard.activity} {heard.experiment} round {heard.round} ({heard.progress:.0%})"


def _read_overviews(management: Management, vhost: str) -> list[tuple[str, Overview]]:
    """Return the overviews of the last minute, each with its sender, oldest first."""
    found = []
    for letter in peek(management, vhost, topology.MONITOR_EVENTS, MAX_EVENTS):
        try:
            message = decode(letter.body)
        except ProtocolError:
            continue
        # The broker vouches for the user; whoever writes under another's name is not believed.
        if isinstance(message.body, Overview) and letter.user == message.envelope.sender:
            found.append((message.envelope.sender, message.body, message.envelope.sent_at))
    found.sort(key=lambda one: one[2])
    return [(sender, overview) for sender, overview, _ in found]


def to_json(status: FederationStatus) -> str:
    """Return a status for programs."""
    nodes = [{name: getattr(node, name) for name in NodeStatus.__slots__} for node in status.nodes]
    return json.dumps(
        {
            "nodes": nodes,
            "experiments": [one.model_dump(mode="json") for one in status.experiments],
            "dead": status.num_dead,
            "orchestrators": list(status.orchestrators),
        },
        indent=2,
    )
