"""The topology: every member reaches its own queues and no others."""

import re

import pytest

from fedmq.transport import asking
from fedmq.transport.rights import (
    Rights,
    monitor_rights,
    node_rights,
    orchestrator_rights,
    researcher_rights,
)
from fedmq.transport.routes import event_key
from fedmq.transport.topology import (
    DEAD,
    DEAD_QUEUE,
    EVENTS,
    EXCHANGES,
    MONITOR_DEAD,
    MONITOR_EVENTS,
    MONITOR_OVERVIEWS,
    REPLIES,
    SUBMISSIONS,
    TASKS,
    Profile,
    experiment_queues,
    federation,
    key,
    node_payloads,
    node_queues,
    node_tasks,
    orchestrator_events,
    orchestrator_queues,
    profile_at,
)
from fedmq.types import NOWHERE, ORCHESTRATOR, ExperimentId, NodeId, ResearcherId

LYON, PARIS = NodeId("chu-lyon"), NodeId("ghu-paris")
FEDERATION = federation(nodes=[PARIS, LYON], researchers=[ResearcherId("r-one")])


def test_every_binding_names_an_exchange_that_exists() -> None:
    """A queue bound to nothing would lose messages in silence."""
    names = {exchange.name for exchange in EXCHANGES}
    queues = [*FEDERATION.queues, *experiment_queues(ExperimentId("e-1"), ORCHESTRATOR)]
    assert {binding.exchange for queue in queues for binding in queue.bindings} <= names


def test_every_queue_has_exactly_one_policy() -> None:
    """RabbitMQ applies one policy to a queue, so no two may match, and none may be without."""
    for queue in [*FEDERATION.queues, *experiment_queues(ExperimentId("e-1"), ORCHESTRATOR)]:
        matching = [p.name for p in FEDERATION.policies if re.search(p.pattern, queue.name)]
        assert len(matching) == 1, queue.name


def test_no_queue_grows_without_end() -> None:
    """Bytes are bounded and not messages alone, of which each may be sixteen megabytes."""
    for policy in (*FEDERATION.policies, *asking.policies()):
        assert 0 < int(policy.definition["max-length-bytes"]) <= 2**33, policy.name


def test_queues_of_asking_have_one_policy_each() -> None:
    """Among all policies of a federation; one name may be the end of another's."""
    policies = (*FEDERATION.policies, *asking.policies())
    for queue in (asking.request_queue("node"), asking.join_queue("chu-lyon")):
        assert len([one for one in policies if re.search(one.pattern, queue.name)]) == 1


def test_the_order_in_which_members_are_named_does_not_matter() -> None:
    """The same members give the same topology, so definitions do not change by chance."""
    again = federation(nodes=[LYON, PARIS], researchers=[ResearcherId("r-one")])
    assert again == FEDERATION


def test_chunks_are_stored_once_on_one_broker_and_replicated_in_a_cluster() -> None:
    """The bulk queue is classic or quorum by profile; the control queue is always quorum."""
    for profile, kind in ((Profile.SINGLE, "classic"), (Profile.CLUSTER, "quorum")):
        control, bulk = node_queues(LYON, profile)
        assert control.arguments["x-queue-type"] == "quorum"
        assert bulk.arguments["x-queue-type"] == kind


@pytest.mark.parametrize(
    ("url", "profile"),
    [
        ("amqp://127.0.0.1:5672/fedmq", Profile.SINGLE),
        ("amqps://hub.example/a%2Cb", Profile.SINGLE),
        ("amqp://a,b:c,d@hub.example/fedmq", Profile.SINGLE),
        ("amqp://one:5672,two:5673/fedmq", Profile.CLUSTER),
    ],
)
def test_an_address_that_names_several_nodes_is_that_of_a_cluster(
    url: str, profile: Profile
) -> None:
    """Neither vhost nor login count."""
    assert profile_at(url) is profile


def may(pattern: str, name: str) -> bool:
    """Return whether RabbitMQ, which searches for the pattern, would allow `name`."""
    return re.search(pattern, name) is not None


@pytest.mark.parametrize(
    "foreign",
    [
        node_tasks(PARIS),
        node_payloads(PARIS),
        node_tasks(NodeId("chu-lyon-2")),
        "orchestrator.orchestrator.inbox",
        "experiment.e-1@orchestrator.replies",
        "dead",
        MONITOR_EVENTS,
        MONITOR_OVERVIEWS,
    ],
)
def test_a_node_reads_its_own_queues_only(foreign: str) -> None:
    """Names that begin or end like its own are foreign too."""
    rights = node_rights(LYON)
    assert may(rights.read, node_tasks(LYON))
    assert may(rights.read, node_payloads(LYON))
    assert not may(rights.read, foreign)


@pytest.mark.parametrize("exchange", [TASKS, SUBMISSIONS, DEAD, "", "amq.default", "amq.topic"])
def test_a_node_writes_replies_and_events_only(exchange: str) -> None:
    """It can neither give tasks nor submit, nor write to a queue directly."""
    rights = node_rights(LYON)
    assert may(rights.write, REPLIES)
    assert may(rights.write, EVENTS)
    assert not may(rights.write, exchange)


@pytest.mark.parametrize(
    ("exchange", "routing_key", "allowed"),
    [
        (REPLIES, key(LYON, "e-1@hub-b", "control"), True),
        (REPLIES, key(LYON, "-@orchestrator", "bulk"), True),
        (REPLIES, key(LYON, "e-1", "control"), False),
        (REPLIES, key(PARIS, "e-1@hub-b", "control"), False),
        (REPLIES, key("chu-lyon-2", "e-1@hub-b", "control"), False),
        (REPLIES, key(LYON, "e-1@hub-b", "control", "more"), False),
        (EVENTS, key("e-1", LYON, "heartbeat"), True),
        (EVENTS, key("e-1", PARIS, "heartbeat"), False),
    ],
)
def test_a_node_writes_under_its_own_name_only(
    exchange: str, routing_key: str, *, allowed: bool
) -> None:
    """The topic permission looks at the whole key."""
    assert may(node_rights(LYON).topics[exchange], routing_key) is allowed


def test_only_the_orchestrator_configures_and_only_queues_of_experiments() -> None:
    """A hospital, a researcher and a watcher can declare and delete nothing."""
    orchestrator = orchestrator_rights("orchestrator")
    assert may(orchestrator.configure, "experiment.e-1@orchestrator.replies")
    assert not may(orchestrator.configure, node_tasks(LYON))
    assert not may(orchestrator.configure, "experiment.e-1@hub-b.replies")
    others: list[Rights] = [
        node_rights(LYON),
        researcher_rights(ResearcherId("r-one")),
        monitor_rights(),
    ]
    for rights in others:
        assert not may(rights.configure, "experiment.e-1@orchestrator.replies")
        assert not may(rights.configure, "anything")


@pytest.mark.parametrize(
    "foreign",
    [
        "orchestrator.hub-b.inbox",
        "orchestrator.hub-b.events",
        "experiment.e-1@hub-b.replies",
        "experiment.e-1@orchestrator-2.replies",
        "experiment.e-1@an-orchestrator.payloads",
        node_tasks(LYON),
    ],
)
def test_an_orchestrator_has_nothing_to_do_with_what_is_of_another(foreign: str) -> None:
    """It neither reads what is told another, nor writes there or takes it away."""
    rights = orchestrator_rights(ORCHESTRATOR)
    own = [queue.name for queue in orchestrator_queues(ORCHESTRATOR)]
    own += [queue.name for queue in experiment_queues(ExperimentId("e-1"), ORCHESTRATOR)]
    assert all(may(rights.read, name) for name in own)
    assert not may(rights.read, foreign)
    assert not may(rights.write, foreign)
    assert not may(rights.configure, foreign)


@pytest.mark.parametrize("orchestrator", [ORCHESTRATOR, "hub-b"])
def test_an_orchestrator_may_make_every_binding_of_its_experiments(orchestrator: str) -> None:
    """It makes them itself, again after each break."""
    rights = orchestrator_rights(orchestrator)
    for queue in experiment_queues(ExperimentId("e-1"), orchestrator):
        for binding in queue.bindings:
            assert may(rights.read, binding.exchange)
            assert may(rights.bindings[binding.exchange], binding.key)


@pytest.mark.parametrize("exchange", [REPLIES, SUBMISSIONS])
@pytest.mark.parametrize(
    "foreign",
    [
        "*.e-1@hub-b.control",
        "*.-@hub-b.control",
        "*.e-1@orchestrator-2.bulk",
        "*.e-1@an-orchestrator.bulk",
        "*.*.control",
        "*.e-1@orchestrator.#",
        "#.e-1@orchestrator.control",
        "*.#.e-1@orchestrator.control",
        "#",
        "",
    ],
)
def test_an_orchestrator_may_bind_by_no_key_of_what_is_for_another(
    exchange: str, foreign: str
) -> None:
    """Nor by one in which any name may stand."""
    assert not may(orchestrator_rights(ORCHESTRATOR).bindings[exchange], foreign)


def test_each_orchestrator_has_queues_of_its_own() -> None:
    """What is for one of them goes to no other; signs of life are for all."""
    both = federation(nodes=[], researchers=[], orchestrators=["hub-b", "orchestrator"])
    names = [queue.name for queue in both.queues if queue.name.startswith("orchestrator.")]
    assert names == [
        "orchestrator.hub-b.inbox",
        "orchestrator.hub-b.events",
        "orchestrator.orchestrator.inbox",
        "orchestrator.orchestrator.events",
    ]
    keys = {queue.name: {one.key for one in queue.bindings} for queue in both.queues}
    assert keys["orchestrator.hub-b.inbox"] == {"*.-@hub-b.control"}
    assert keys["orchestrator.hub-b.events"] == {"#"}


def test_a_monitor_reads_the_streams_and_nothing_else() -> None:
    """A right to read a queue is a right to empty it; a stream cannot be emptied by readers."""
    rights = monitor_rights()
    readable = {queue.name for queue in FEDERATION.queues if may(rights.read, queue.name)}
    assert readable == {MONITOR_EVENTS, MONITOR_DEAD, MONITOR_OVERVIEWS}
    assert {queue.name for queue in FEDERATION.queues if queue.is_stream} == readable
    names = [exchange.name for exchange in EXCHANGES] + [queue.name for queue in FEDERATION.queues]
    for name in [*names, "amq.default", "amq.topic", "amq.gen-x"]:
        assert not may(rights.write, name)
        assert not may(rights.configure, name)


def test_watchers_get_a_copy_of_each_event_and_each_dead_letter() -> None:
    """Beside those who have to deal with them, who take theirs out of a queue."""
    bindings = {queue.name: queue.bindings for queue in FEDERATION.queues}
    assert bindings[MONITOR_DEAD] == bindings[DEAD_QUEUE]
    assert bindings[MONITOR_EVENTS] == bindings[orchestrator_events(ORCHESTRATOR)]
    (overviews,) = bindings[MONITOR_OVERVIEWS]
    assert overviews.key == event_key(NOWHERE, "*", "overview")


def test_a_stream_is_bounded_in_age_and_size_and_nothing_else_is_asked_of_it() -> None:
    """RabbitMQ leaves out a whole policy that has a word which streams do not know."""
    for name in (MONITOR_EVENTS, MONITOR_DEAD, MONITOR_OVERVIEWS):
        (policy,) = [one for one in FEDERATION.policies if re.search(one.pattern, name)]
        assert set(policy.definition) == {
            "max-age",
            "max-length-bytes",
            "stream-max-segment-size-bytes",
        }
