"""The promises of the port, held against an implementation of it.

Each test drives transports through a *wire*, which knows how to make one for a member of the
federation, how to let things happen, and how to cut a connection.
"""

from typing import TypeVar

import pytest

from fedmq.transport import topology
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    ConsumerLost,
    Delivered,
    Delivery,
    Disconnected,
    Nacked,
    Properties,
    Publication,
    Returned,
    Transport,
    TransportEvent,
)
from fedmq.transport.topology import DEAD_QUEUE, REPLIES, TASKS, experiment_queues, key
from fedmq.types import ExperimentId, NodeId, ResearcherId

LYON, PARIS, BASEL = NodeId("chu-lyon"), NodeId("ghu-paris"), NodeId("umc-basel")
T = TypeVar("T")
EXPERIMENT = ExperimentId("e-1")
FEDERATION = topology.federation(nodes=[LYON, PARIS, BASEL], researchers=[ResearcherId("r-one")])


class Member:
    """A transport with everything that it has told so far."""

    def __init__(self) -> None:
        self.events: list[TransportEvent] = []
        self.transport: Transport

    def of(self, kind: type[T]) -> list[T]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def deliveries(self) -> list[Delivery]:
        """Return what was handed over, in order."""
        return [event.delivery for event in self.of(Delivered)]

    @property
    def bodies(self) -> list[bytes]:
        """Return the bodies of what was handed over."""
        return [delivery.body for delivery in self.deliveries]


class MemoryWire:
    """Members on one broker in the process."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(FEDERATION)
        self._transports: dict[int, MemoryTransport] = {}

    def join(self, user: str) -> Member:
        """Return a connected member."""
        member = Member()
        transport = MemoryTransport(self.broker, user, member.events.append)
        member.transport = transport
        self._transports[id(member)] = transport
        transport.start()
        self.settle()
        return member

    def settle(self) -> None:
        """Let everything happen that is under way."""
        self.broker.run_until_idle()

    def cut(self, member: Member) -> None:
        """Break a member's connection; it is not yet back."""
        self._transports[id(member)].disconnect()

    def mend(self, member: Member) -> None:
        """Bring the member's connection back."""
        self._transports[id(member)].connect()
        self.settle()


@pytest.fixture
def wire() -> MemoryWire:
    """Return a federation's broker with nobody on it."""
    return MemoryWire()


def a_task(node: NodeId, body: bytes = b"task", *also_to: NodeId) -> Publication:
    """Return a control message of the orchestrator for one or several nodes."""
    return Publication(
        exchange=TASKS,
        routing_key=key(node, "control"),
        also_to=tuple(key(other, "control") for other in also_to),
        body=body,
        properties=Properties(type="train.request", message_id="m-1"),
    )


def reading(wire: MemoryWire, node: NodeId, prefetch: int = 10) -> Member:
    """Return a node that reads its tasks."""
    member = wire.join(node)
    member.transport.consume(topology.node_tasks(node), prefetch=prefetch)
    wire.settle()
    return member


def test_what_is_published_is_confirmed_and_arrives_once(wire: MemoryWire) -> None:
    """A ticket ends in its confirm; the body and the properties arrive as they were sent."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 7)
    wire.settle()
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=7)]
    (delivery,) = node.deliveries
    assert delivery.body == b"task"
    assert delivery.properties.type == "train.request"
    assert not delivery.redelivered


def test_a_publication_carries_the_login_of_its_connection(wire: MemoryWire) -> None:
    """Whatever a program puts there, the receiver sees who was logged in."""
    node, other = reading(wire, LYON), wire.join(PARIS)
    forged = Publication(
        exchange=TASKS,
        routing_key=key(LYON, "control"),
        body=b"task",
        properties=Properties(user_id="orchestrator"),
    )
    other.transport.publish(forged, 1)
    wire.settle()
    assert [delivery.properties.user_id for delivery in node.deliveries] == [PARIS]


def test_one_publication_reaches_exactly_the_nodes_it_names(wire: MemoryWire) -> None:
    """The broker fans out; who is not named gets nothing; nobody gets it twice."""
    members = {node: reading(wire, node) for node in (LYON, PARIS, BASEL)}
    orchestrator = wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON, b"model", BASEL, LYON), 1)
    wire.settle()
    assert {node: member.bodies for node, member in members.items()} == {
        LYON: [b"model"],
        PARIS: [],
        BASEL: [b"model"],
    }
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=1)]


def test_a_publication_that_no_queue_takes_is_returned(wire: MemoryWire) -> None:
    """And only returned: there is no confirm beside it."""
    orchestrator = wire.join("orchestrator")
    orchestrator.transport.publish(a_task(NodeId("nobody")), 3)
    wire.settle()
    assert orchestrator.of(Returned) == [Returned(ticket=3, routing_key="nobody.control")]
    assert orchestrator.of(Confirmed) == []


def test_a_publication_that_need_not_arrive_is_confirmed_into_nothing(wire: MemoryWire) -> None:
    """Heartbeats may be lost."""
    orchestrator = wire.join("orchestrator")
    publication = Publication(
        exchange=TASKS,
        routing_key="nobody.control",
        body=b"",
        properties=Properties(),
        mandatory=False,
    )
    orchestrator.transport.publish(publication, 4)
    wire.settle()
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=4)]


def test_messages_wait_for_a_node_that_is_away_and_come_in_order(wire: MemoryWire) -> None:
    """A task can wait before its node ever connects."""
    orchestrator = wire.join("orchestrator")
    for number in range(5):
        orchestrator.transport.publish(a_task(LYON, bytes([number])), number)
    wire.settle()
    assert reading(wire, LYON).bodies == [bytes([number]) for number in range(5)]


def test_no_more_than_the_prefetch_is_in_hand(wire: MemoryWire) -> None:
    """The next delivery comes when one was acknowledged."""
    node, orchestrator = reading(wire, LYON, prefetch=2), wire.join("orchestrator")
    for number in range(5):
        orchestrator.transport.publish(a_task(LYON, bytes([number])), number)
    wire.settle()
    assert node.bodies == [b"\x00", b"\x01"]
    node.transport.acknowledge(node.deliveries[0])
    wire.settle()
    assert node.bodies == [b"\x00", b"\x01", b"\x02"]


def test_what_was_in_hand_when_the_connection_broke_comes_again(wire: MemoryWire) -> None:
    """Marked as redelivered; what was acknowledged before does not come."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    for body in (b"done", b"in hand"):
        orchestrator.transport.publish(a_task(LYON, body), body[0])
    wire.settle()
    node.transport.acknowledge(node.deliveries[0])
    wire.settle()
    wire.cut(node)
    wire.mend(node)
    assert node.bodies == [b"done", b"in hand", b"in hand"]
    assert node.deliveries[-1].redelivered
    assert [type(e) for e in node.events if not isinstance(e, Delivered)] == [
        Connected,
        Disconnected,
        Connected,
    ]


def test_an_acknowledgement_of_an_earlier_connection_does_nothing(wire: MemoryWire) -> None:
    """Its tag may by now stand for another delivery."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 1)
    wire.settle()
    stale = node.deliveries[0]
    wire.cut(node)
    wire.mend(node)
    node.transport.acknowledge(stale)
    wire.settle()
    wire.cut(node)
    wire.mend(node)
    assert len(node.deliveries) == 3


def test_a_ticket_that_was_open_when_the_connection_broke_is_void(wire: MemoryWire) -> None:
    """No end of it comes later, so that the sender may use it again."""
    orchestrator = wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 1)
    wire.cut(orchestrator)
    wire.mend(orchestrator)
    assert orchestrator.of(Confirmed) == []
    orchestrator.transport.publish(a_task(LYON), 1)
    wire.settle()
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=1)]


def test_a_rejected_control_message_lies_among_the_dead(wire: MemoryWire) -> None:
    """With its body, its routing key and its sender, for `dead` to be read."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON, b"garbage"), 1)
    wire.settle()
    node.transport.reject(node.deliveries[0])
    watcher = wire.join("operator")
    watcher.transport.consume(DEAD_QUEUE, prefetch=5)
    wire.settle()
    (dead,) = watcher.deliveries
    assert (dead.body, dead.routing_key) == (b"garbage", "chu-lyon.control")
    assert dead.properties.user_id == "orchestrator"


def test_a_message_that_breaks_its_reader_again_and_again_lies_among_the_dead(
    wire: MemoryWire,
) -> None:
    """After the delivery limit it is taken out of the way of what waits behind it."""
    node, orchestrator = reading(wire, LYON, prefetch=1), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON, b"poison"), 1)
    orchestrator.transport.publish(a_task(LYON, b"behind"), 2)
    wire.settle()
    for _ in range(topology.DELIVERY_LIMIT + 1):
        wire.cut(node)
        wire.mend(node)
    assert node.bodies.count(b"poison") == topology.DELIVERY_LIMIT + 1
    assert node.bodies[-1] == b"behind"
    watcher = wire.join("operator")
    watcher.transport.consume(DEAD_QUEUE, prefetch=5)
    wire.settle()
    assert watcher.bodies == [b"poison"]


def test_a_full_control_queue_refuses_and_says_so(wire: MemoryWire) -> None:
    """The sender keeps the message and tries again; what waits is not pushed out."""
    orchestrator = wire.join("orchestrator")
    for number in range(topology.CONTROL_LENGTH + 1):
        orchestrator.transport.publish(a_task(LYON), number)
    wire.settle()
    assert orchestrator.of(Nacked) == [Nacked(ticket=topology.CONTROL_LENGTH)]
    assert len(orchestrator.of(Confirmed)) == topology.CONTROL_LENGTH


def test_of_two_copies_of_a_node_one_reads_and_the_other_takes_over(wire: MemoryWire) -> None:
    """The second gets nothing until the first is gone, and then what the first had in hand."""
    first, second = reading(wire, LYON), reading(wire, LYON)
    orchestrator = wire.join("orchestrator")
    for number in (1, 2):
        orchestrator.transport.publish(a_task(LYON, bytes([number])), number)
    wire.settle()
    assert (first.bodies, second.bodies) == ([b"\x01", b"\x02"], [])
    wire.cut(first)
    wire.settle()
    assert second.bodies == [b"\x01", b"\x02"]


def test_an_experiment_has_its_queues_from_its_declaration_to_its_end(wire: MemoryWire) -> None:
    """A reply finds its experiment while that runs, and is returned afterwards."""
    orchestrator, node = wire.join("orchestrator"), wire.join(LYON)
    queues = experiment_queues(EXPERIMENT)
    orchestrator.transport.declare(queues)
    orchestrator.transport.consume(topology.experiment_replies(EXPERIMENT), prefetch=5)
    reply = Publication(
        exchange=REPLIES,
        routing_key=key(LYON, EXPERIMENT, "control"),
        body=b"reply",
        properties=Properties(),
    )
    node.transport.publish(reply, 1)
    wire.settle()
    assert orchestrator.bodies == [b"reply"]
    orchestrator.transport.delete([queue.name for queue in queues])
    wire.settle()
    assert len(orchestrator.of(ConsumerLost)) == 1
    node.transport.publish(reply, 2)
    wire.settle()
    assert [event.ticket for event in node.of(Returned)] == [2]


def test_reading_a_queue_that_is_not_there_is_told(wire: MemoryWire) -> None:
    """The service learns of it; the transport lives on."""
    node = wire.join(LYON)
    node.transport.consume("node.nobody.tasks", prefetch=1)
    wire.settle()
    assert [event.queue for event in node.of(ConsumerLost)] == ["node.nobody.tasks"]


def test_after_closing_nothing_is_told_and_nothing_is_lost(wire: MemoryWire) -> None:
    """What was in hand waits for the next to read."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 1)
    wire.settle()
    node.transport.close()
    told = len(node.events)
    orchestrator.transport.publish(a_task(LYON, b"later"), 2)
    wire.settle()
    assert len(node.events) == told
    assert reading(wire, LYON).bodies == [b"task", b"later"]
