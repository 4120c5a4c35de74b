"""The federation's exchanges, queues and policies: the only place that knows their names.

Pure data, made from the names of the federation's members. `fedmq.hub` turns it into what RabbitMQ
loads at boot; the transports publish and consume by it. Reasons: docs/adr/0002-topology.md.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from fedmq.transport.declarations import Binding, Exchange, Policy, Queue, Topology, exactly
from fedmq.types import NOWHERE, ORCHESTRATOR, ExperimentId, NodeId, ResearcherId, Role

TASKS: Final = "fedmq.tasks"
REPLIES: Final = "fedmq.replies"
SUBMISSIONS: Final = "fedmq.submissions"
ANSWERS: Final = "fedmq.answers"
EVENTS: Final = "fedmq.events"
DEAD: Final = "fedmq.dead"

MONITOR_EVENTS: Final = "monitor.events"
MONITOR_DEAD: Final = "monitor.dead"
MONITOR_OVERVIEWS: Final = "monitor.overviews"
OVERVIEW: Final = "overview"
"""The kind of event in which an orchestrator tells what it leads: a word of its key."""
DEAD_QUEUE: Final = "dead"

DELIVERY_LIMIT: Final = 20
CONTROL_LENGTH: Final = 10_000
CONTROL_BYTES: Final = 512 * 2**20
"""Fifty kilobytes for each; one member fills no disk with messages of many megabytes.

Models are not among them: what is large is a plan's source, 256 KiB, once in a round for each node.
"""
BULK_BYTES: Final = 8 * 2**30
EVENT_TTL_MS: Final = 60_000
EVENT_LENGTH: Final = 10_000
EVENT_BYTES: Final = 64 * 2**20
DEAD_LENGTH: Final = 100_000
DEAD_BYTES: Final = 2**30
DEAD_LOOKS: Final = 1_000_000
"""So often dead letters may be looked at; without a limit of its own, RabbitMQ 4 gives them 20."""
WATCHED_EVENTS_AGE: Final = "5m"
WATCHED_DEAD_DAYS: Final = 7
WATCHED_OVERVIEWS_DAYS: Final = 90
"""The last one of an orchestrator that is away is all that watchers know of its experiments."""
WATCHED_BYTES: Final = 64 * 2**20
OVERVIEW_BYTES: Final = 2**19
"""All of them are read for one look; who is away adds none, and those of others are few."""
SEGMENT_BYTES: Final = 2**20
"""What is too old or too much leaves a stream by whole segments, when the next one begins."""

ID_OR_NOWHERE: Final = r"[a-z0-9-]{1,40}"
"""A word of a routing key that is an id or `-`."""
DESK: Final = rf"{ID_OR_NOWHERE}@{ID_OR_NOWHERE}"
"""A word of a routing key: an experiment or `-`, and the orchestrator that it is for."""


class Lane(StrEnum):
    """The last word of a routing key: small messages and chunks of models travel apart."""

    CONTROL = "control"
    BULK = "bulk"


class Profile(StrEnum):
    """One broker, or a cluster in which a queue must outlive the broker node it is on."""

    SINGLE = "single"
    CLUSTER = "cluster"


def profile_at(url: str) -> Profile:
    """Return the profile of the broker at an AMQP address, which names each node of a cluster."""
    return Profile.CLUSTER if "," in urlsplit(url).netloc.rpartition("@")[2] else Profile.SINGLE


EXCHANGES: Final = (
    Exchange(name=TASKS, type="direct"),
    Exchange(name=REPLIES, type="topic"),
    Exchange(name=SUBMISSIONS, type="topic"),
    Exchange(name=ANSWERS, type="direct"),
    Exchange(name=EVENTS, type="topic"),
    Exchange(name=DEAD, type="topic", internal=True),
)


SENDERS: Final[Mapping[str, frozenset[Role]]] = {
    TASKS: frozenset({Role.ORCHESTRATOR}),
    REPLIES: frozenset({Role.NODE}),
    SUBMISSIONS: frozenset({Role.RESEARCHER}),
    ANSWERS: frozenset({Role.ORCHESTRATOR}),
    EVENTS: frozenset({Role.NODE, Role.ORCHESTRATOR}),
}
"""Who writes to an exchange, whatever the broker allows."""


def key(*words: str) -> str:
    """Return the routing key made of `words`."""
    return ".".join(words)


def node_tasks(node: NodeId) -> str:
    """Return the name of the queue of a node's control messages."""
    return f"node.{node}.tasks"


def node_payloads(node: NodeId) -> str:
    """Return the name of the queue of a node's chunks."""
    return f"node.{node}.payloads"


def desk(experiment: str, orchestrator: str) -> str:
    """Return the word of a key for what is of an experiment, or of none, at an orchestrator.

    The name of who leads is in it, so that no two orchestrators ever have a queue in common.
    """
    return f"{experiment}@{orchestrator}"


def orchestrator_inbox(orchestrator: str) -> str:
    """Return the name of the queue of what an orchestrator is told outside experiments."""
    return f"orchestrator.{orchestrator}.inbox"


def orchestrator_events(orchestrator: str) -> str:
    """Return the name of the queue of the signs of life that an orchestrator hears."""
    return f"orchestrator.{orchestrator}.events"


def experiment_replies(experiment: ExperimentId, orchestrator: str) -> str:
    """Return the name of the queue of an experiment's control messages."""
    return f"experiment.{desk(experiment, orchestrator)}.replies"


def experiment_payloads(experiment: ExperimentId, orchestrator: str) -> str:
    """Return the name of the queue of an experiment's chunks."""
    return f"experiment.{desk(experiment, orchestrator)}.payloads"


def researcher_inbox(researcher: ResearcherId) -> str:
    """Return the name of the queue of a researcher's control messages."""
    return f"researcher.{researcher}.inbox"


def researcher_payloads(researcher: ResearcherId) -> str:
    """Return the name of the queue of a researcher's chunks."""
    return f"researcher.{researcher}.payloads"


def _control(name: str, *bindings: Binding, single_reader: bool = True) -> Queue:
    arguments: dict[str, str | bool] = {"x-queue-type": "quorum"}
    if single_reader:
        arguments["x-single-active-consumer"] = True
    return Queue(name=name, arguments=arguments, bindings=bindings)


def _bulk(name: str, *bindings: Binding, profile: Profile) -> Queue:
    # A classic queue stores a body once however many queues it goes to, a quorum queue once each;
    # in a cluster a classic queue is out of reach while its broker node is down.
    kind = "classic" if profile is Profile.SINGLE else "quorum"
    return Queue(
        name=name,
        arguments={"x-queue-type": kind, "x-single-active-consumer": True},
        bindings=bindings,
    )


def node_queues(node: NodeId, profile: Profile = Profile.SINGLE) -> tuple[Queue, ...]:
    """Return the two queues of a node."""
    return (
        _control(node_tasks(node), Binding(exchange=TASKS, key=key(node, Lane.CONTROL))),
        _bulk(
            node_payloads(node),
            Binding(exchange=TASKS, key=key(node, Lane.BULK)),
            profile=profile,
        ),
    )


def orchestrator_queues(orchestrator: str) -> tuple[Queue, ...]:
    """Return the two queues of an orchestrator."""
    own = key("*", desk(NOWHERE, orchestrator), Lane.CONTROL)
    return (
        _control(
            orchestrator_inbox(orchestrator),
            Binding(exchange=SUBMISSIONS, key=own),
            Binding(exchange=REPLIES, key=own),
            single_reader=False,
        ),
        Queue(
            name=orchestrator_events(orchestrator),
            arguments={"x-queue-type": "classic"},
            bindings=(Binding(exchange=EVENTS, key="#"),),
        ),
    )


def experiment_queues(
    experiment: ExperimentId, orchestrator: str, profile: Profile = Profile.SINGLE
) -> tuple[Queue, ...]:
    """Return the two queues that an orchestrator declares for an experiment it leads."""
    own = desk(experiment, orchestrator)
    return (
        _control(
            experiment_replies(experiment, orchestrator),
            Binding(exchange=REPLIES, key=key("*", own, Lane.CONTROL)),
        ),
        _bulk(
            experiment_payloads(experiment, orchestrator),
            Binding(exchange=REPLIES, key=key("*", own, Lane.BULK)),
            Binding(exchange=SUBMISSIONS, key=key("*", own, Lane.BULK)),
            profile=profile,
        ),
    )


def researcher_queues(
    researcher: ResearcherId, profile: Profile = Profile.SINGLE
) -> tuple[Queue, ...]:
    """Return the two queues of a researcher."""
    return (
        _control(
            researcher_inbox(researcher),
            Binding(exchange=ANSWERS, key=key(researcher, Lane.CONTROL)),
        ),
        _bulk(
            researcher_payloads(researcher),
            Binding(exchange=ANSWERS, key=key(researcher, Lane.BULK)),
            profile=profile,
        ),
    )


def _watched(name: str, exchange: str, key: str = "#") -> Queue:
    # Whoever may read a stream can neither take anything out nor keep it from others.
    return Queue(
        name=name,
        arguments={"x-queue-type": "stream"},
        bindings=(Binding(exchange=exchange, key=key),),
    )


def _common_queues() -> tuple[Queue, ...]:
    return (
        Queue(
            name=DEAD_QUEUE,
            arguments={"x-queue-type": "quorum"},
            bindings=(Binding(exchange=DEAD, key="#"),),
        ),
        _watched(MONITOR_EVENTS, EVENTS),
        _watched(MONITOR_DEAD, DEAD),
        _watched(MONITOR_OVERVIEWS, EVENTS, key(NOWHERE, "*", OVERVIEW)),
    )


def policies() -> tuple[Policy, ...]:
    """Return the policies, named by role: the management pages print the name."""
    control = r"^(node\.[^.]+\.tasks|experiment\.[^.]+\.replies|researcher\.[^.]+\.inbox"
    return (
        Policy(
            name="control",
            pattern=control + r"|orchestrator\.[^.]+\.inbox)$",
            definition={
                "dead-letter-exchange": DEAD,
                "dead-letter-strategy": "at-least-once",
                "delivery-limit": DELIVERY_LIMIT,
                "max-length": CONTROL_LENGTH,
                "max-length-bytes": CONTROL_BYTES,
                "overflow": "reject-publish",
            },
        ),
        Policy(
            name="bulk",
            pattern=r"^(node|experiment|researcher)\.[^.]+\.payloads$",
            definition={"max-length-bytes": BULK_BYTES, "overflow": "drop-head"},
        ),
        Policy(
            name="events",
            pattern=r"^orchestrator\.[^.]+\.events$",
            definition={
                "max-length": EVENT_LENGTH,
                "max-length-bytes": EVENT_BYTES,
                "message-ttl": EVENT_TTL_MS,
                "overflow": "drop-head",
            },
        ),
        Policy(
            name="dead",
            pattern=r"^dead$",
            definition={
                "delivery-limit": DEAD_LOOKS,
                "max-length": DEAD_LENGTH,
                "max-length-bytes": DEAD_BYTES,
            },
        ),
        _watched_policy("watched-events", MONITOR_EVENTS, WATCHED_EVENTS_AGE),
        _watched_policy("watched-dead", MONITOR_DEAD, f"{WATCHED_DEAD_DAYS}D"),
        _watched_policy(
            "watched-overviews",
            MONITOR_OVERVIEWS,
            f"{WATCHED_OVERVIEWS_DAYS}D",
            size_bytes=OVERVIEW_BYTES,
            segment_bytes=OVERVIEW_BYTES // 2,
        ),
    )


def _watched_policy(
    name: str,
    queue: str,
    age: str,
    *,
    size_bytes: int = WATCHED_BYTES,
    segment_bytes: int = SEGMENT_BYTES,
) -> Policy:
    return Policy(
        name=name,
        pattern=exactly(queue),
        definition={
            "max-age": age,
            "max-length-bytes": size_bytes,
            "stream-max-segment-size-bytes": segment_bytes,
        },
    )


def federation(
    *,
    nodes: Iterable[NodeId],
    researchers: Iterable[ResearcherId],
    orchestrators: Iterable[str] = (ORCHESTRATOR,),
    profile: Profile = Profile.SINGLE,
) -> Topology:
    """Return what stands on the broker of a federation with these members."""
    queues = list(_common_queues())
    for orchestrator in sorted(orchestrators):
        queues.extend(orchestrator_queues(orchestrator))
    for node in sorted(nodes):
        queues.extend(node_queues(node, profile))
    for researcher in sorted(researchers):
        queues.extend(researcher_queues(researcher, profile))
    return Topology(exchanges=EXCHANGES, queues=tuple(queues), policies=policies())
