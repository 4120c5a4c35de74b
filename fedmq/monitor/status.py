"""Status: the federation as its broker and its orchestrators show it, one row per node."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from fedmq.errors import ProtocolError
from fedmq.hub.management import Management
from fedmq.messages.notices import Activity, ExperimentOverview, NodeOverview, Overview
from fedmq.monitor.hindrances import Hindrance, find_hindrances
from fedmq.monitor.letters import MAX_HOURS, dead_letters
from fedmq.orchestrator.heard import ago
from fedmq.security.roster import Roster
from fedmq.security.wire import open_event
from fedmq.transport import topology
from fedmq.transport.rabbitmq import Login
from fedmq.transport.rabbitmq_stream import StreamMessage, read_streams
from fedmq.types import NOWHERE, NodeId

RECENT: Final = "60s"
KEPT: Final = f"{topology.WATCHED_OVERVIEWS_DAYS}D"
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
    """Letters of its queues that died in the last MAX_HOURS, dealt with or not."""
    doing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorHeard:
    """One orchestrator, from its newest overview."""

    name: str
    heard_at: float
    """Unix seconds, on its own clock."""
    is_away: bool
    """Nothing was heard of it in the last minute: its experiments wait."""
    stand_bys: int
    """How many programs would take over what it leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStatus:
    """What can be seen now."""

    nodes: tuple[NodeStatus, ...]
    experiments: tuple[ExperimentOverview, ...]
    num_dead: int
    """Dead letters in the queue `dead`: nobody has dealt with them yet. Some seconds old."""
    has_all_dead: bool
    """Whether the nodes' numbers of dead letters are whole; there were too many to count if not."""
    orchestrators: tuple[OrchestratorHeard, ...]
    """Those that were heard lately, and those that are away and left experiments."""
    hindrances: tuple[Hindrance, ...] = ()
    """What keeps the broker from taking messages."""


def read_status(
    management: Management, login: Login, roster: Roster, *, now: float, recent: str = RECENT
) -> FederationStatus:
    """Return what the management API, the events of the last minute and the dead letters say.

    `now` is when, in Unix seconds: how long somebody is away is told by this machine's clock; whose
    last word is not so `recent`, by the broker's clock, is away.

    Raises:
        TransportError: the broker or its management does not answer, or refuses.
    """
    queues = {
        str(queue["name"]): queue
        for queue in cast("list[dict[str, Any]]", management.get("queues", login.vhost))
    }
    names = [
        NodeId(name.removeprefix(_PREFIX).removesuffix(_SUFFIX))
        for name in sorted(queues)
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    ]
    read = read_streams(
        login,
        {
            topology.MONITOR_EVENTS: recent,
            topology.MONITOR_DEAD: f"{MAX_HOURS}h",
            topology.MONITOR_OVERVIEWS: KEPT,
        },
    )
    present = _newest_overviews(read[topology.MONITOR_EVENTS].messages, roster, names)
    kept = _newest_overviews(read[topology.MONITOR_OVERVIEWS].messages, roster, names)
    away = {sender: one for sender, one in kept.items() if sender not in present}
    heard: dict[str, NodeOverview] = {}
    for told in present.values():
        for one in told.overview.nodes:
            if one.node not in heard or heard[one.node].heard_at < one.heard_at:
                heard[one.node] = one
    dead = dead_letters(read[topology.MONITOR_DEAD])
    by_queue = Counter(letter.queue for letter in dead.letters)
    experiments = [one for told in present.values() for one in told.overview.experiments]
    experiments += [one for told in away.values() for one in _waiting(told, now=now)]
    return FederationStatus(
        nodes=tuple(
            _node_status(node, queues[topology.node_tasks(node)], heard.get(node), by_queue)
            for node in names
        ),
        experiments=tuple(sorted(experiments, key=lambda one: one.experiment)),
        num_dead=int(queues.get(topology.DEAD_QUEUE, {}).get("messages") or 0),
        has_all_dead=dead.is_complete,
        orchestrators=tuple(
            OrchestratorHeard(
                name=sender,
                heard_at=told.at,
                is_away=sender in away,
                stand_bys=told.overview.stand_bys,
            )
            for sender, told in sorted((present | away).items())
            if sender in present or told.overview.experiments
        ),
        hindrances=find_hindrances(
            cast("list[dict[str, Any]]", management.get("nodes")), queues.values()
        ),
    )


def _node_status(
    node: NodeId,
    queue: Mapping[str, Any],
    heard: NodeOverview | None,
    dead: Counter[str],
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
        dead=sum(dead[name] for name in own),
        doing=_doing(heard),
    )


def _doing(heard: NodeOverview | None) -> str:
    if heard is None:
        return "not heard of"
    if heard.activity is Activity.DISK_FULL:
        return "waits: its disk is full"
    if heard.experiment == NOWHERE:
        return heard.activity
    if heard.activity is Activity.PREPARING:  # before all rounds, and done in one go
        return f"{heard.activity} {heard.experiment}"
    # The name comes last: it is what a narrow screen may cut.
    return f"{heard.activity} round {heard.round} ({heard.progress:.0%}) of {heard.experiment}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    sender: str
    at: float
    overview: Overview


def _waiting(told: _Told, *, now: float) -> Iterator[ExperimentOverview]:
    """Yield the experiments of an orchestrator that is away: they wait for it."""
    since = ago(max(0.0, now - told.at))
    reason = f"waits for its orchestrator {told.sender}, last heard {since}"
    for one in told.overview.experiments:
        yield one.model_copy(update={"reason": reason})


def _newest_overviews(
    events: Iterable[StreamMessage], roster: Roster, nodes: Collection[str]
) -> dict[str, _Told]:
    """Return the newest overview of each sender; nodes may write events, but lead nothing."""
    newest: dict[str, _Told] = {}
    for event in events:
        try:
            message = open_event(event.body, roster)
        except ProtocolError:
            continue
        sender, at = message.envelope.sender, message.envelope.sent_at
        # The broker vouches for the user; whoever writes under another's name is not believed.
        if not isinstance(message.body, Overview) or event.user != sender:
            continue
        if sender not in nodes and (sender not in newest or newest[sender].at <= at):
            newest[sender] = _Told(sender=sender, at=at, overview=message.body)
    return newest
