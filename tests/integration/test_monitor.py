"""Status and dead letters on a real broker, with the login that the hub gives a monitor."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fedmq.errors import BrokerRefused, BrokerUnavailable
from fedmq.hub.management import Management
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.notices import Activity, ExperimentOverview, NodeOverview, Overview
from fedmq.monitor.letters import MAX_HOURS, DeadLetter, read_dead
from fedmq.monitor.status import RECENT, FederationStatus, NodeStatus, read_status
from fedmq.transport import topology
from fedmq.transport.address import Address
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
from fedmq.transport.rabbitmq_stream import StreamMessage, read_streams
from fedmq.transport.rights import orchestrator_rights
from fedmq.types import NodeId, ResearcherId, Role
from tests.support.broker import EVERYTHING, TestBroker, federation_rights
from tests.support.keys import Keys

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

    def __init__(self, broker: TestBroker, vhost: str, user: str, keys: Keys) -> None:
        self.name = user
        self._keys = keys
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
        properties = Properties(type="test.message", timestamp=1_795_600_000)
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
        message = Message(envelope=envelope, body=overview)
        signer = self.name if self.name in self._keys.identities else envelope.sender
        body = self._keys.wire(signer).seal(message)
        self.publish(topology.EVENTS, f"-.{self.name}.overview", body)


class World:
    """A vhost with a federation's layout and rights."""

    def __init__(self, broker: TestBroker) -> None:
        layout = topology.federation(
            nodes=NODES, researchers=[ResearcherId("r-one")], profile=broker.profile
        )
        rights = federation_rights([*NODES], ["r-one"])
        # A second orchestrator, as a stand-by or for other experiments.
        rights["centre-two"] = orchestrator_rights("centre-two")
        rights["operator"] = EVERYTHING
        self.broker = broker
        roles = dict.fromkeys(NODES, Role.NODE) | {"r-one": Role.RESEARCHER}
        leaders = dict.fromkeys(("orchestrator", "centre-two"), Role.ORCHESTRATOR)
        self.keys = Keys(roles | leaders)
        self.vhost = broker.make_vhost(layout, rights)
        self.monitor = replace(broker.management, user="monitor", password=broker.password)
        self.login = broker.login(self.vhost, "monitor")
        self._members: list[Member] = []
        self.now = 2_000.0
        """What the watcher's clock shows."""
        self.recent = RECENT

    def join(self, user: str) -> Member:
        """Return a connected member."""
        member = Member(self.broker, self.vhost, user, self.keys)
        self._members.append(member)
        return member

    def status(self) -> FederationStatus:
        """Return what the monitor sees."""
        return read_status(
            self.monitor, self.login, self.keys.roster, now=self.now, recent=self.recent
        )

    def nodes(self) -> dict[str, NodeStatus]:
        """Return the rows of the nodes."""
        return {node.node: node for node in self.status().nodes}

    def dead_letters(self, count: int) -> tuple[DeadLetter, ...]:
        """Return the dead letters once there are so many: a node's rejection is not confirmed."""
        until(lambda: len(read_dead(self.login).letters) >= count, "dead letters")
        found = read_dead(self.login)
        assert found.is_complete
        assert len(found.letters) == count
        return found.letters

    def fill_dead(self, count: int) -> None:
        """Let Lyon turn away messages of 1, 2, ... bytes, in this order."""
        before = len(read_dead(self.login).letters)
        orchestrator, lyon = self.join("orchestrator"), self.join(LYON)
        for number in range(1, count + 1):
            orchestrator.publish(topology.TASKS, f"{LYON}.control", b"x" * number)
        for delivery in lyon.read(topology.node_tasks(LYON), count):
            lyon.transport.reject(delivery)
        self.dead_letters(before + count)
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
    found = world.status()
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
    found = world.status()
    doing = {node.node: (node.doing, node.heard_at) for node in found.nodes}
    assert doing == {
        LYON: ("training round 3 (50%) of lung-1", 2_000.0),
        PARIS: ("idle", 2_000.0),
        BASEL: ("not heard of", None),
    }
    shown = {one.experiment: one.reason for one in found.experiments}
    assert shown == {"of-centre-two": "at 1500", "of-orchestrator": "at 2000"}
    assert [one.name for one in found.orchestrators] == ["centre-two", "orchestrator"]
    assert not any(one.is_away for one in found.orchestrators)


def test_the_experiments_of_an_orchestrator_that_is_away_wait_for_it(world: World) -> None:
    """By name, and since when; what it knew of nodes is old. The other's go on."""
    world.join("orchestrator").tell_overview(at=1_000.0, chu_lyon=Activity.TRAINING)
    two = world.join("centre-two")
    world.now, world.recent = 1_000.0 + 42 * 60, "1s"

    def is_away() -> bool:
        two.tell_overview(at=3_500.0)
        return [one.is_away for one in world.status().orchestrators] == [False, True]

    until(is_away, "the silence of one")
    two.tell_overview(at=3_500.0)
    seen = world.status()
    assert {one.experiment: one.reason for one in seen.experiments} == {
        "of-centre-two": "at 3500",
        "of-orchestrator": "waits for its orchestrator orchestrator, last heard 42 min ago",
    }
    assert {node.doing for node in seen.nodes} == {"not heard of"}


def test_a_node_that_prepares_is_shown_without_a_round(world: World) -> None:
    """No round has begun; its share would stand at 0 % until it is done."""
    world.join("orchestrator").tell_overview(chu_lyon=Activity.PREPARING)
    assert world.nodes()[LYON].doing == "preparing lung-1"


def test_an_overview_that_is_not_an_orchestrators_own_is_ignored(world: World) -> None:
    """Neither under another's name nor a node's own; nor what is no message at all."""
    basel = world.join(BASEL)
    basel.tell_overview("orchestrator", chu_lyon=Activity.TRAINING)
    basel.tell_overview(chu_lyon=Activity.TRAINING)
    basel.publish(topology.EVENTS, f"-.{BASEL}.overview", b"garbage")
    found = world.status()
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
    assert world.nodes()[LYON].doing == "sending round 3 (50%) of lung-1"


def test_dead_letters_say_of_which_queue_why_and_who_sent_them(world: World) -> None:
    """In the order of their deaths; status counts them at their node."""
    world.fill_dead(3)
    letters = world.dead_letters(3)
    assert [letter.size_bytes for letter in letters] == [1, 2, 3]
    for letter in letters:
        assert (letter.queue, letter.reason) == (topology.node_tasks(LYON), "rejected")
        assert (letter.user, letter.type) == ("orchestrator", "test.message")
        assert letter.sent_at == 1_795_600_000.0

    def is_counted() -> bool:
        shown = world.status()
        dead = {node.node: node.dead for node in shown.nodes}
        return (shown.num_dead, dead) == (3, {LYON: 3, PARIS: 0, BASEL: 0})

    until(is_counted, "status")


def test_watchers_who_look_at_the_same_time_see_the_same_letters(world: World) -> None:
    """Each all of them, in the same order, however often; nothing becomes less or is marked."""
    world.fill_dead(5)
    with ThreadPoolExecutor(max_workers=4) as watchers:
        looks = [watchers.submit(read_dead, world.login) for _ in range(12)]
        seen = [look.result() for look in looks]
    assert [letter.size_bytes for letter in seen[0].letters] == [1, 2, 3, 4, 5]
    assert all(look == seen[0] for look in seen)
    world.fill_dead(1)
    operator = world.join("operator")
    read = operator.read(topology.DEAD_QUEUE, 6)
    assert [len(one.body) for one in read] == [1, 2, 3, 4, 5, 1]
    # RabbitMQ 4 calls each dead letter delivered before, also the last, which nobody looked at.
    assert len({one.redelivered for one in read}) == 1


def test_what_the_operator_dealt_with_is_still_shown_to_watchers(world: World) -> None:
    """The queue `dead` is empty then, the history of a week is not."""
    world.fill_dead(2)
    until(lambda: world.status().num_dead == 2, "the number")
    world.broker.management.delete("queues", world.vhost, topology.DEAD_QUEUE, "contents")
    until(lambda: world.status().num_dead == 0, "the number")
    assert world.nodes()[LYON].dead == 2
    world.dead_letters(2)


def test_watchers_look_back_by_the_brokers_clock(world: World) -> None:
    """Of a time in which nothing came they see nothing, and are not kept waiting for it."""
    world.join("orchestrator").tell_overview(chu_lyon=Activity.IDLE)
    until(lambda: not events(world, "1s"), "a second without events")
    assert len(events(world, "60s")) == 1


def events(world: World, age: str) -> tuple[StreamMessage, ...]:
    """Return the events of the last time."""
    reading = read_streams(world.login, {topology.MONITOR_EVENTS: age})[topology.MONITOR_EVENTS]
    assert reading.is_complete
    return reading.messages


def test_a_stream_that_is_too_large_is_read_in_part_and_said_to_be(world: World) -> None:
    """A watcher is bounded in bytes and in time, whatever others publish."""
    lyon = world.join(LYON)
    num_events = 2_500
    for ticket in range(1_000_000, 1_000_000 + num_events):
        publication = Publication(
            exchange=topology.EVENTS,
            routing_key=f"-.{LYON}.heartbeat",
            body=b"beat",
            properties=Properties(),
        )
        lyon.transport.publish(publication, ticket)
    last = Confirmed(ticket=999_999 + num_events)
    until(lambda: last in lyon.events, "events")
    assert len(events(world, "60s")) == num_events
    stream = topology.MONITOR_EVENTS
    for bounds in ({"max_bytes": 400, "max_s": 60.0}, {"max_bytes": 10**6, "max_s": 0.0}):
        reading = read_streams(world.login, {stream: "60s"}, **bounds)[stream]
        assert not reading.is_complete
        assert len(reading.messages) < num_events


def test_status_is_quick_where_nothing_happens(world: World) -> None:
    """Two empty streams are waited for at the same time."""
    world.status()
    began = time.monotonic()
    world.status()
    assert time.monotonic() - began < 1.0


def test_a_wrong_password_is_a_refusal_and_no_broker_is_said_so(world: World) -> None:
    """Both before anything is shown."""
    wrong = replace(world.login, password="no")  # noqa: S106 - wrong
    with pytest.raises(BrokerRefused, match="refuses user monitor"):
        read_status(
            replace(world.monitor, password="no"),  # noqa: S106 - wrong
            world.login,
            world.keys.roster,
            now=0.0,
        )
    with pytest.raises(BrokerRefused, match="refuses user monitor"):
        read_status(world.monitor, wrong, world.keys.roster, now=0.0)
    with pytest.raises(BrokerRefused, match="refuses user monitor"):
        read_dead(wrong)
    nowhere = Management(url="http://127.0.0.1:9", user="monitor", password="x")  # noqa: S106
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        read_status(nowhere, world.login, world.keys.roster, now=0.0)
    with pytest.raises(BrokerUnavailable, match="Connection refused"):
        read_dead(replace(world.login, addresses=(Address("127.0.0.1", 9),)))


def test_a_queue_that_is_no_stream_is_not_read_as_one(world: World) -> None:
    """A broker of an earlier version may hold one of this name: its messages are not taken."""
    world.fill_dead(1)
    admin = world.broker.login(world.vhost, "operator")
    with pytest.raises(BrokerRefused, match="stream of the broker cannot be read"):
        read_streams(admin, {topology.DEAD_QUEUE: f"{MAX_HOURS}h"})
    with pytest.raises(BrokerRefused, match="stream of the broker cannot be read"):
        read_streams(admin, {"of-nobody": "1h"})
    with pytest.raises(BrokerRefused, match="refuses user monitor"):
        read_streams(world.login, {topology.DEAD_QUEUE: "1h"})
