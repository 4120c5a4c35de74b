"""Rights as the broker enforces them: each member with the credentials that the hub gave it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.errors import BrokerRefused
from fedmq.hub.credentials import Credentials, Role, read_credentials
from fedmq.hub.lifecycle import up
from fedmq.hub.members import Hub
from fedmq.transport import topology
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    ConsumerLost,
    Disconnected,
    Properties,
    Publication,
    Returned,
)
from fedmq.transport.topology import EVENTS, REPLIES, SUBMISSIONS, TASKS, experiment_queues, key
from fedmq.types import ExperimentId, NodeId
from tests.contract.wires import Member
from tests.integration.test_hub import ended, joined, management, until

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker]

LYON, PARIS, RESEARCHER = "chu-lyon", "ghu-paris", "r-one"
EXPERIMENT = experiment_queues(ExperimentId("e-1"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a federation of two nodes and a researcher."""
    with ended(tmp_path_factory.mktemp("hub")) as made:
        hub = Hub(made)
        for name, role in ((LYON, Role.NODE), (PARIS, Role.NODE), (RESEARCHER, Role.RESEARCHER)):
            hub.add_member(name, role)
        up(made)
        yield made


def credentials(folder: Path, name: str) -> Credentials:
    """Return what the hub wrote for a member."""
    return read_credentials(Hub(folder).credentials_path(name))


def publish(member: Member, exchange: str, routing_key: str) -> None:
    """Publish, and wait until that has had its end."""
    publication = Publication(
        exchange=exchange, routing_key=routing_key, body=b"body", properties=Properties()
    )
    member.transport.publish(publication, 1)
    until(lambda: len(member.events) > 1)


@pytest.mark.parametrize(
    ("name", "exchange", "routing_key"),
    [
        (LYON, REPLIES, key(LYON, "-", "control")),
        (LYON, EVENTS, key("e-1", LYON, "heartbeat")),
        (RESEARCHER, SUBMISSIONS, key(RESEARCHER, "-", "control")),
        ("orchestrator", TASKS, key(LYON, "control")),
        ("orchestrator", TASKS, key(PARIS, "bulk")),
        ("orchestrator", topology.ANSWERS, key(RESEARCHER, "control")),
        ("orchestrator", EVENTS, key("e-1", "orchestrator", "progress")),
    ],
)
def test_members_write_what_is_theirs(
    folder: Path, name: str, exchange: str, routing_key: str
) -> None:
    """And it arrives in some queue."""
    with joined(credentials(folder, name)) as member:
        publish(member, exchange, routing_key)
        assert member.events == [Connected(), Confirmed(ticket=1)]


@pytest.mark.parametrize(
    ("name", "exchange", "routing_key"),
    [
        # Under another's name, or one that begins or ends alike.
        (LYON, REPLIES, key(PARIS, "-", "control")),
        (LYON, REPLIES, key("chu-lyon-2", "-", "control")),
        (LYON, EVENTS, key("e-1", PARIS, "heartbeat")),
        (RESEARCHER, SUBMISSIONS, key("r-two", "-", "control")),
        ("orchestrator", EVENTS, key("e-1", LYON, "heartbeat")),
        # What another role writes.
        (LYON, TASKS, key(PARIS, "control")),
        (LYON, SUBMISSIONS, key(LYON, "-", "control")),
        (RESEARCHER, TASKS, key(LYON, "control")),
        (RESEARCHER, REPLIES, key(RESEARCHER, "-", "control")),
        (RESEARCHER, EVENTS, key("-", RESEARCHER, "progress")),
        ("orchestrator", REPLIES, key(LYON, "-", "control")),
        ("monitor", EVENTS, key("-", "monitor", "progress")),
        ("monitor", TASKS, key(LYON, "control")),
        # Straight into a queue.
        (LYON, "", "node.ghu-paris.tasks"),
        (RESEARCHER, "", "node.chu-lyon.tasks"),
        ("monitor", "", "orchestrator.inbox"),
        # Into the dead letters, which only the broker writes.
        ("orchestrator", topology.DEAD, "anything"),
    ],
)
def test_members_write_nothing_else(
    folder: Path, name: str, exchange: str, routing_key: str
) -> None:
    """The broker refuses, ends the connection, and has taken nothing."""
    with joined(credentials(folder, name)) as member:
        assert member.events == [Connected()]
        publish(member, exchange, routing_key)
        assert not member.of(Confirmed)
        assert not member.of(Returned)
        assert member.of(Disconnected)[0].refused


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        (LYON, "node.chu-lyon.tasks"),
        (LYON, "node.chu-lyon.payloads"),
        (RESEARCHER, "researcher.r-one.inbox"),
        ("orchestrator", "orchestrator.inbox"),
        ("orchestrator", "orchestrator.events"),
        ("monitor", "monitor.events"),
    ],
)
def test_members_read_what_is_theirs(folder: Path, name: str, queue: str) -> None:
    """The broker's own list of consumers has them."""
    with joined(credentials(folder, name)) as member:
        member.transport.consume(queue, prefetch=1)
        admin = management(folder)
        until(lambda: (name, queue) in _readers(admin.get("consumers", "fedmq")))
        assert not member.of(ConsumerLost)


def _readers(consumers: object) -> set[tuple[str, str]]:
    assert isinstance(consumers, list)
    return {
        (consumer["channel_details"].get("user"), consumer["queue"]["name"])
        for consumer in consumers
    }


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        (LYON, "node.ghu-paris.tasks"),
        (LYON, "node.ghu-paris.payloads"),
        (LYON, "orchestrator.inbox"),
        (LYON, "orchestrator.events"),
        (LYON, "dead"),
        (RESEARCHER, "node.chu-lyon.tasks"),
        (RESEARCHER, "orchestrator.inbox"),
        ("orchestrator", "node.chu-lyon.tasks"),
        ("orchestrator", "researcher.r-one.inbox"),
        ("monitor", "orchestrator.inbox"),
        ("monitor", "node.chu-lyon.payloads"),
    ],
)
def test_members_read_nothing_else(folder: Path, name: str, queue: str) -> None:
    """The queue is there; the broker refuses."""
    assert queue in management(folder).names("queues", "fedmq")
    with joined(credentials(folder, name)) as member:
        member.transport.consume(queue, prefetch=1)
        until(lambda: bool(member.of(ConsumerLost)))
        (lost,) = member.of(ConsumerLost)
        assert lost.queue == queue
        assert "ACCESS_REFUSED" in lost.why


@pytest.mark.parametrize("name", [LYON, RESEARCHER, "monitor"])
def test_nobody_but_the_orchestrator_declares(folder: Path, name: str) -> None:
    """Not even a queue of an experiment."""
    with joined(credentials(folder, name)) as member:
        member.transport.declare(EXPERIMENT)
        until(lambda: bool(member.of(ConsumerLost)))
        assert "ACCESS_REFUSED" in member.of(ConsumerLost)[0].why
    assert EXPERIMENT[0].name not in management(folder).names("queues", "fedmq")


def test_the_orchestrator_makes_and_deletes_the_queues_of_its_experiments(folder: Path) -> None:
    """A reply finds its way there; a node's queue it can neither make nor delete."""
    admin, names = management(folder), [queue.name for queue in EXPERIMENT]
    with joined(credentials(folder, "orchestrator")) as member:
        member.transport.declare(EXPERIMENT)
        until(lambda: set(names) < admin.names("queues", "fedmq"))
        with joined(credentials(folder, LYON)) as node:
            publish(node, REPLIES, key(LYON, "e-1", "control"))
            assert node.of(Confirmed)
        member.transport.delete(names)
        until(lambda: not set(names) & admin.names("queues", "fedmq"))
        assert not member.of(ConsumerLost)
        member.transport.declare(topology.node_queues(NodeId("a-third")))
        until(lambda: len(member.of(ConsumerLost)) == 1)
        member.transport.delete(["node.chu-lyon.tasks"])
        until(lambda: len(member.of(ConsumerLost)) == 2)
    assert "node.chu-lyon.tasks" in admin.names("queues", "fedmq")


def test_a_monitor_sees_every_queue_and_changes_none(folder: Path) -> None:
    """By the management's API: it neither deletes, purges, publishes nor looks into messages."""
    monitor, everything = management(folder, "monitor"), management(folder)
    assert monitor.names("queues", "fedmq") == everything.names("queues", "fedmq")
    assert monitor.get("overview")
    message = {
        "properties": {},
        "routing_key": key(LYON, "control"),
        "payload": "x",
        "payload_encoding": "string",
    }
    look = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    for attempt in (
        lambda: monitor.delete("queues", "fedmq", "node.chu-lyon.tasks"),
        lambda: monitor.delete("queues", "fedmq", "node.chu-lyon.tasks", "contents"),
        lambda: monitor.delete("users", LYON),
        lambda: monitor.post("exchanges", "fedmq", TASKS, "publish", content=message),
        lambda: monitor.post("queues", "fedmq", "node.chu-lyon.tasks", "get", content=look),
        lambda: monitor.post("definitions", content={"users": []}),
        lambda: monitor.put("queues", "fedmq", "of-mine", content={"durable": True}),
        lambda: monitor.get("users"),
    ):
        with pytest.raises(BrokerRefused):
            attempt()
    assert "node.chu-lyon.tasks" in everything.names("queues", "fedmq")


@pytest.mark.parametrize("name", [LYON, RESEARCHER, "orchestrator"])
def test_other_members_cannot_use_the_management(folder: Path, name: str) -> None:
    """They have its address from nobody, and their password does not open it."""
    known = credentials(folder, name)
    assert known.admin_url == ""
    client = management(folder)
    with pytest.raises(BrokerRefused):
        type(client)(url=client.url, user=known.user, password=known.password).get("overview")
