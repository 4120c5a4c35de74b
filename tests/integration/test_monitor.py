"""Status and dead letters on a real broker, with the login that the hub gives a monitor."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fedmq.errors import BrokerRefused, TransportError
from fedmq.hub.management import Management
from fedmq.messages.codec import Message, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import Activity, ExperimentOverview, NodeOverview, Overview
from fedmq.monitor.letters import DeadLetter, Letter, peek, peek_dead
from fedmq.monitor.status import NodeStatus, read_status, to_json
from fedmq.transport import topology
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    Delivered,
    Delivery,
    Properties,
    Publication,
    TransportEvent,
)
from fedmq.transport.rabbitmq import RabbitTransport
from fedmq.types import NodeId, ResearcherId
from tests.support.broker import TestBroker, federation_rights

pytestmark = pytest.mark.rabbitmq

LYON, PARIS, BASEL = NodeId("chu-lyon"), NodeId("ghu-paris"), NodeId("umc-basel")
NODES = [LYON, PARIS, BASEL]
PATIENCE_S = 60.0


def until(claim: Callable[[], bool], what: str) -> None:
    """Return once `claim` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S} s"
        time.sleep(0.05)


class Member:
    """A member of the federation that is connected."""

    def __init__(self, broker: TestBroker, vhost: str, user: str) -> None:
        self.name = user
        self.events: list[TransportEvent] = []
        self.transport = RabbitTransport(broker.login(vhost, user), self.events.append)
        self.transport.start()
        until(lambda: any(isinstance(one, Connected) for one in self.events), "connection")

    @property
    def deliveries(self) -> list[Delivery]:
        """What was handed over."""
        return [one.delivery for one in self.events if isinstance(one, Delivered)]

    def publish(self, exchange: str, key: str, body: bytes = b"body") -> None:
        """Publish, and wait for the broker's word."""
        ticket = len(self.events) + 1
        properties = Properties(type="test.message")
        publication = Publication(
            exchange=exchange, routing_key=key, body=body, properties=properties
        )
        self.transport.publish(publication, ticket)
        until(lambda: Confirmed(ticket=ticket) in self.events, "confirm")

    def read(self, queue: str, count: int) -> list[Delivery]:
        """Return what is handed over, one at a time, none of it acknowledged."""
        before = len(self.deliveries)
        self.transport.consume(queue, prefetch=count)
        until(lambda: len(self.deliveries) == before + count, "deliveries")
        return self.deliveries[before:]

    def tell_overview(self, name: str = "", at: float = 1_000.0, **doing: Activity) -> None:
        """Tell what an orchestrator called `name` knows of nodes."""
        overview = Overview(
            version="1",
            nodes=[
                NodeOverview(
                    node=node.replace("_", "-"),
                    heard_at=at,
                    activity=activity,
                    experiment="-" if activity is Activity.IDLE else "lung-1",
                    round=3,
                    progress=0.5,
                )
                for node, activity in doing.items()
            ],
            experiments=[
                ExperimentOverview(
                    experiment=f"of-{name or self.name}",
                    state="training",
                    round=3,
                    num_rounds=9,
                    reason=f"at {at:.0f}",
                )
            ],
        )
        envelope = Envelope(
            type=overview.TYPE,
            message_id=f"overview.{at:.0f}",
            sender=name or self.name,
            recipient="-",
            sent_at=at,
        )
        body = encode(Message(envelope=envelope, body=overview))
        self.publish(topology.EVENTS, f"-.{self.name}.overview", body)


class World:
    """A vhost with a federation's layout and rights."""

    def __init__(self, broker: TestBroker) -> None:
        layout = topology.federation(
            nodes=NODES, researchers=[ResearcherId("r-one")], profile=broker.profile
        )
        rights = federation_rights([*NODES], ["r-one"])
        # A second orchestrator, as a stand-by or for other experiments.
        rights["centre-two"] = topology.orchestrator_rights("centre-two")
        self.broker = broker
        self.vhost = broker.make_vhost(layout, rights)
        self.monitor = replace(broker.management, user="monitor", password=broker.password)
        self._members: list[Member] = []

    def join(self, user: str) -> Member:
        """Return a connected member."""
        member = Member(self.broker, self.vhost, user)
        self._members.append(member)
        return member

    def nodes(self) -> dict[str, NodeStatus]:
        """Return the rows of the nodes."""
        return {node.node: node for node in read_status(self.monitor, self.vhost).nodes}

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """Return the dead letters once there are so many: what was just looked at comes back."""
        found: list[DeadLetter] = []

        def has_all() -> bool:
            found[:] = peek_dead(self.monitor, self.vhost)
            return len(found) == count

        until(has_all, "dead letters")
        return found

    def letters(self, count: int) -> list[Letter]:
        """Return the dead letters with their bodies, as an administrator sees them."""
        found: list[Letter] = []

        def has_all() -> bool:
            found[:] = peek(self.broker.management, self.vhost, topology.DEAD_QUEUE, 100)
            return len(found) == count

        until(has_all, "dead letters")
        return found

    def fill_dead(self, count: int) -> None:
        """Let Lyon turn away messages of 1, 2, ... bytes, in this order."""
        orchestrator, lyon = self.join("orchestrator"), self.join(LYON)
        for number in range(1, count + 1):
            orchestrator.publish(topology.TASKS, f"{LYON}.control", b"x" * number)
        for delivery in lyon.read(topology.node_tasks(LYON), count):
            lyon.transport.reject(delivery)
        self.dead_letters(count)
        lyon.transport.close()

    def close(self) -> None:
        """End every member, remove the vhost."""
        for member in self._members:
            member.transport.close()
        self.broker.remove_vhost(self.vhost)


@pytest.fixture
def world(broker: TestBroker) -> Iterator[World]:
    """Return a federation that nobody has joined."""
    made = World(broker)
    yield made
    made.close()


def test_a_federation_without_anybody_has_a_row_per_node_and_nothing_else(world: World) -> None:
    """No overview yet is no error."""
    found = read_status(world.monitor, world.vhost)
    assert [node.node for node in found.nodes] == NODES
    for node in found.nodes:
        assert (node.online, node.heard_at, node.doing) == (False, None, "not heard of")
        assert (node.waiting, node.in_hand, node.redelivered, node.dead) == (0, 0, 0, 0)
    assert (found.experiments, found.num_dead, found.orchestrators) == ((), 0, ())


def test_status_says_who_is_online_and_what_waits_is_in_hand_or_came_again(world: World) -> None:
    """Lyon holds two of three tasks and had them before; Paris is away and has one waiting."""
    orchestrator = world.join("orchestrator")
    for node in (LYON, LYON, LYON, PARIS):
        orchestrator.publish(topology.TASKS, f"{node}.control")
    first = world.join(LYON)
    first.read(topology.node_tasks(LYON), 2)
    first.transport.close()
    second = world.join(LYON)
    again = second.read(topology.node_tasks(LYON), 2)
    assert all(delivery.redelivered for delivery in again)

    def is_shown() -> bool:
        rows = world.nodes()
        lyon, paris, basel = (rows[node] for node in NODES)
        return (
            (lyon.online, lyon.waiting, lyon.in_hand, lyon.redelivered) == (True, 1, 2, 2)
            and (paris.online, paris.waiting, paris.in_hand, paris.redelivered) == (False, 1, 0, 0)
            and (basel.online, basel.waiting) == (False, 0)
        )

    until(is_shown, "status")


def test_the_newest_overview_of_each_orchestrator_says_what_nodes_do(world: World) -> None:
    """Two lead experiments; of each the last word counts, in whatever order they came."""
    one, two = world.join("orchestrator"), world.join("centre-two")
    two.tell_overview(at=1_500.0, chu_lyon=Activity.IDLE)
    one.tell_overview(at=2_000.0, chu_lyon=Activity.TRAINING, ghu_paris=Activity.IDLE)
    one.tell_overview(at=1_000.0, chu_lyon=Activity.IDLE)
    found = read_status(world.monitor, world.vhost)
    doing = {node.node: (node.doing, node.heard_at) for node in found.nodes}
    assert doing == {
        LYON: ("training lung-1 round 3 (50%)", 2_000.0),
        PARIS: ("idle", 2_000.0),
        BASEL: ("not heard of", None),
    }
    shown = {one.experiment: one.reason for one in found.experiments}
    assert shown == {"of-centre-two": "at 1500", "of-orchestrator": "at 2000"}
    assert found.orchestrators == ("centre-two", "orchestrator")


def test_an_overview_that_is_not_an_orchestrators_own_is_ignored(world: World) -> None:
    """Neither under another's name nor a node's own; nor what is no message at all."""
    basel = world.join(BASEL)
    basel.tell_overview("orchestrator", chu_lyon=Activity.TRAINING)
    basel.tell_overview(chu_lyon=Activity.TRAINING)
    basel.publish(topology.EVENTS, f"-.{BASEL}.overview", b"garbage")
    found = read_status(world.monitor, world.vhost)
    assert (found.experiments, found.orchestrators) == ((), ())
    assert world.nodes()[LYON].doing == "not heard of"


def test_status_stands_behind_thousands_of_events(world: World) -> None:
    """The newest overview counts where heartbeats of a minute lie before it."""
    orchestrator, lyon = world.join("orchestrator"), world.join(LYON)
    for ticket in range(1_000_000, 1_000_400):
        publication = Publication(
            exchange=topology.EVENTS,
            routing_key=f"-.{LYON}.heartbeat",
            body=b"beat",
            properties=Properties(),
        )
        lyon.transport.publish(publication, ticket)
    until(lambda: Confirmed(ticket=1_000_399) in lyon.events, "events")
    orchestrator.tell_overview(chu_lyon=Activity.SENDING)
    assert world.nodes()[LYON].doing == "sending lung-1 round 3 (50%)"


def test_dead_letters_say_of_which_queue_why_and_who_sent_them(world: World) -> None:
    """In the order of their deaths; status counts them at their node."""
    began = time.time()
    world.fill_dead(3)
    letters = world.dead_letters(3)
    assert [letter.size_bytes for letter in letters] == [1, 2, 3]
    for letter in letters:
        assert (letter.queue, letter.reason) == (topology.node_tasks(LYON), "rejected")
        assert (letter.user, letter.type) == ("orchestrator", "test.message")
        assert began - 2 <= letter.at <= time.time() + 2

    def is_counted() -> bool:
        shown = json.loads(to_json(read_status(world.monitor, world.vhost)))
        dead = {node["node"]: node["dead"] for node in shown["nodes"]}
        return (shown["dead"], dead) == (3, {LYON: 3, PARIS: 0, BASEL: 0})

    until(is_counted, "status")


def test_looking_at_dead_letters_takes_none_away(world: World) -> None:
    """Whole or in part, more often than any usual delivery limit, though each look is counted."""
    world.fill_dead(3)
    for _ in range(60):
        peek(world.monitor, world.vhost, topology.DEAD_QUEUE, 2)
    letters = world.letters(3)
    assert {letter.body for letter in letters} == {b"x", b"xx", b"xxx"}
    assert sum(letter.headers["x-delivery-count"] for letter in letters) >= 60


def test_where_looks_would_destroy_dead_letters_nobody_looks(world: World) -> None:
    """The queue has a delivery limit: the number is told all the same, and nothing is touched."""
    world.fill_dead(2)
    admin = world.broker.management
    limited = {
        "pattern": "^dead$",
        "apply-to": "queues",
        "priority": 9,
        "definition": {"delivery-limit": 40},
    }
    admin.put("policies", world.vhost, "limited", content=limited)

    path = ("queues", world.vhost, topology.DEAD_QUEUE)
    until(lambda: "delivery-limit" in str(admin.get(*path)), "the policy")
    for _ in range(50):
        with pytest.raises(TransportError, match="without harm"):
            peek_dead(world.monitor, world.vhost)
    until(lambda: read_status(world.monitor, world.vhost).num_dead == 2, "the number")
    assert world.nodes()[LYON].dead is None
    world.letters(2)


def test_a_monitor_looks_into_events_and_dead_letters_and_touches_nothing(world: World) -> None:
    """It reads no task, takes no message out, deletes and purges no queue."""
    world.fill_dead(1)
    world.join(LYON).publish(topology.REPLIES, f"{LYON}.-.control")
    monitor, vhost = world.monitor, world.vhost
    inbox = topology.ORCHESTRATOR_INBOX
    attempts: list[Callable[[], object]] = [
        lambda: peek(monitor, vhost, inbox, 1),
        lambda: monitor.delete("queues", vhost, topology.DEAD_QUEUE),
        lambda: monitor.delete("queues", vhost, inbox, "contents"),
    ]
    for attempt in attempts:
        with pytest.raises(BrokerRefused, match="refuses user monitor"):
            attempt()
    assert len(peek(world.broker.management, vhost, inbox, 9)) == 1
    world.dead_letters(1)


def test_a_wrong_password_is_a_refusal_and_no_broker_is_said_so(world: World) -> None:
    """Both before anything is shown."""
    with pytest.raises(BrokerRefused, match="refuses user monitor"):
        read_status(replace(world.monitor, password="no"), world.vhost)  # noqa: S106 - wrong
    nowhere = Management(url="http://127.0.0.1:9", user="monitor", password="x")  # noqa: S106
    with pytest.raises(TransportError, match="does not answer"):
        read_status(nowhere, world.vhost)
