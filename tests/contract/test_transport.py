"""The promises of the port, held against an implementation of it.

Each test drives transports through a *wire*, which knows how to make one for a member of the
federation, how to let things happen, and how to cut a connection.
"""

from collections.abc import Iterator

import pytest

from fedmq.transport import topology
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    ConsumerLost,
    Delivered,
    Disconnected,
    Nacked,
    Properties,
    Publication,
    ReadersCounted,
    Returned,
)
from fedmq.transport.topology import (
    DEAD_QUEUE,
    REPLIES,
    TASKS,
    Profile,
    desk,
    experiment_queues,
    key,
)
from fedmq.types import ORCHESTRATOR, ExperimentId, NodeId
from tests.contract.wires import BASEL, LYON, PARIS, Member, MemoryWire, RabbitWire, Wire

EXPERIMENT = ExperimentId("e-1")


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def wire(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Return a federation's broker with nobody on it."""
    made: Wire = (
        MemoryWire() if request.param == "memory" else RabbitWire(request.getfixturevalue("broker"))
    )
    yield made
    made.close()


def a_task(node: NodeId, body: bytes = b"task", *also_to: NodeId) -> Publication:
    """Return a control message of the orchestrator for one or several nodes."""
    return Publication(
        exchange=TASKS,
        routing_key=key(node, "control"),
        also_to=tuple(key(other, "control") for other in also_to),
        body=body,
        properties=Properties(type="train.request", message_id="m-1"),
    )


def reading(wire: Wire, node: NodeId, prefetch: int = 10) -> Member:
    """Return a node that reads its tasks."""
    member = wire.join(node)
    member.transport.consume(topology.node_tasks(node), prefetch=prefetch)
    wire.settle()
    return member


def test_what_is_published_is_confirmed_and_arrives_once(wire: Wire) -> None:
    """A ticket ends in its confirm; the body and the properties arrive as they were sent."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 7)
    wire.settle(lambda: bool(node.bodies and orchestrator.of(Confirmed)))
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=7)]
    (delivery,) = node.deliveries
    assert delivery.body == b"task"
    assert delivery.properties.type == "train.request"
    assert not delivery.redelivered


def test_a_publication_carries_the_login_of_its_connection(wire: Wire) -> None:
    """Whatever a program puts there, the receiver sees who was logged in."""
    node, other = reading(wire, LYON), wire.join(PARIS)
    forged = Publication(
        exchange=TASKS,
        routing_key=key(LYON, "control"),
        body=b"task",
        properties=Properties(user_id="orchestrator"),
    )
    other.transport.publish(forged, 1)
    wire.settle(lambda: bool(node.bodies))
    assert [delivery.properties.user_id for delivery in node.deliveries] == [PARIS]


def test_one_publication_reaches_exactly_the_nodes_it_names(wire: Wire) -> None:
    """The broker fans out; who is not named gets nothing; nobody gets it twice."""
    members = {node: reading(wire, node) for node in (LYON, PARIS, BASEL)}
    orchestrator = wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON, b"model", BASEL, LYON), 1)
    wire.settle(lambda: bool(members[LYON].bodies and members[BASEL].bodies))
    assert {node: member.bodies for node, member in members.items()} == {
        LYON: [b"model"],
        PARIS: [],
        BASEL: [b"model"],
    }
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=1)]


def test_what_is_published_after_a_declaration_finds_the_queue(wire: Wire) -> None:
    """Whoever is asked to fill a queue does not answer before it is there."""
    orchestrator = wire.join("orchestrator")
    wire.settle()
    orchestrator.transport.declare(experiment_queues(EXPERIMENT, ORCHESTRATOR, wire.profile))
    for number in range(3):
        to_it = Publication(
            exchange=REPLIES,
            routing_key=key(LYON, desk(EXPERIMENT, ORCHESTRATOR), "bulk"),
            body=b"chunk",
            properties=Properties(),
        )
        orchestrator.transport.publish(to_it, number)
    wire.settle(lambda: len(orchestrator.of(Confirmed)) == 3 or bool(orchestrator.of(Returned)))
    assert orchestrator.of(Returned) == []
    assert [one.ticket for one in orchestrator.of(Confirmed)] == [0, 1, 2]


def test_a_publication_that_no_queue_takes_is_returned(wire: Wire) -> None:
    """And only returned: there is no confirm beside it."""
    orchestrator = wire.join("orchestrator")
    orchestrator.transport.publish(a_task(NodeId("nobody")), 3)
    wire.settle(lambda: bool(orchestrator.of(Returned)))
    assert orchestrator.of(Returned) == [Returned(ticket=3, routing_key="nobody.control")]
    assert orchestrator.of(Confirmed) == []


def test_a_publication_that_need_not_arrive_is_confirmed_into_nothing(wire: Wire) -> None:
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
    wire.settle(lambda: bool(orchestrator.of(Confirmed)))
    assert orchestrator.of(Confirmed) == [Confirmed(ticket=4)]


def test_messages_wait_for_a_node_that_is_away_and_come_in_order(wire: Wire) -> None:
    """A task can wait before its node ever connects."""
    orchestrator = wire.join("orchestrator")
    for number in range(5):
        orchestrator.transport.publish(a_task(LYON, bytes([number])), number)
    wire.settle(lambda: len(orchestrator.of(Confirmed)) == 5)
    node = reading(wire, LYON)
    wire.settle(lambda: len(node.bodies) == 5)
    assert node.bodies == [bytes([number]) for number in range(5)]


def test_no_more_than_the_prefetch_is_in_hand(wire: Wire) -> None:
    """The next delivery comes when one was acknowledged."""
    node, orchestrator = reading(wire, LYON, prefetch=2), wire.join("orchestrator")
    for number in range(5):
        orchestrator.transport.publish(a_task(LYON, bytes([number])), number)
    wire.settle(lambda: len(node.bodies) >= 2)
    assert node.bodies == [b"\x00", b"\x01"]
    node.transport.acknowledge(node.deliveries[0])
    wire.settle(lambda: len(node.bodies) >= 3)
    assert node.bodies == [b"\x00", b"\x01", b"\x02"]


def test_what_was_in_hand_when_the_connection_broke_comes_again(wire: Wire) -> None:
    """Marked as redelivered; what was acknowledged before does not come."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    for body in (b"done", b"in hand"):
        orchestrator.transport.publish(a_task(LYON, body), body[0])
    wire.settle(lambda: len(node.bodies) == 2)
    node.transport.acknowledge(node.deliveries[0])
    wire.settle()
    wire.cut(node)
    wire.mend(node)
    wire.settle(lambda: len(node.bodies) == 3)
    assert node.bodies == [b"done", b"in hand", b"in hand"]
    assert node.deliveries[-1].redelivered
    told = [type(event) for event in node.events if not isinstance(event, Delivered)]
    assert (told[0], told[-1], set(told[1:-1])) == (Connected, Connected, {Disconnected})


def test_an_acknowledgement_of_an_earlier_connection_does_nothing(wire: Wire) -> None:
    """Its tag may by now stand for another delivery."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 1)
    wire.settle(lambda: len(node.bodies) == 1)
    stale = node.deliveries[0]
    wire.cut(node)
    wire.mend(node)
    node.transport.acknowledge(stale)
    wire.settle(lambda: len(node.bodies) == 2)
    wire.cut(node)
    wire.mend(node)
    wire.settle(lambda: len(node.bodies) == 3)
    assert node.deliveries[-1].redelivered


def test_what_is_published_without_a_connection_is_void(wire: Wire) -> None:
    """No end of its ticket comes later, so that the sender may use it again."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    wire.cut(orchestrator)
    orchestrator.transport.publish(a_task(LYON, b"void"), 1)
    wire.mend(orchestrator)
    assert orchestrator.of(Confirmed) == []
    orchestrator.transport.publish(a_task(LYON, b"again"), 1)
    wire.settle(lambda: bool(orchestrator.of(Confirmed) and node.bodies))
    assert node.bodies == [b"again"]


def test_a_rejected_control_message_lies_among_the_dead(wire: Wire) -> None:
    """With its body, its routing key and its sender, for `dead` to be read."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON, b"garbage"), 1)
    wire.settle(lambda: bool(node.bodies))
    node.transport.reject(node.deliveries[0])
    watcher = wire.join("operator")
    watcher.transport.consume(DEAD_QUEUE, prefetch=5)
    wire.settle(lambda: bool(watcher.bodies))
    (dead,) = watcher.deliveries
    assert (dead.body, dead.routing_key) == (b"garbage", "chu-lyon.control")
    assert dead.properties.user_id == "orchestrator"


def test_a_message_that_breaks_its_reader_again_and_again_lies_among_the_dead(
    wire: Wire,
) -> None:
    """After the delivery limit it is taken out of the way of what waits behind it."""
    node, orchestrator = reading(wire, LYON, prefetch=1), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON, b"poison"), 1)
    orchestrator.transport.publish(a_task(LYON, b"behind"), 2)
    wire.settle(lambda: bool(node.bodies))
    for life in range(topology.DELIVERY_LIMIT + 1):
        wire.cut(node)
        wire.mend(node)
        wire.settle(lambda life=life: len(node.bodies) == life + 2)
    assert node.bodies.count(b"poison") == topology.DELIVERY_LIMIT + 1
    assert node.bodies[-1] == b"behind"
    watcher = wire.join("operator")
    watcher.transport.consume(DEAD_QUEUE, prefetch=5)
    wire.settle(lambda: bool(watcher.bodies))
    assert watcher.bodies == [b"poison"]


def test_a_full_control_queue_refuses_and_says_so(wire: Wire) -> None:
    """The sender keeps the message and tries again; what waits is not pushed out."""
    orchestrator = wire.join("orchestrator")
    for number in range(topology.CONTROL_LENGTH):
        orchestrator.transport.publish(a_task(LYON), number)
    wire.settle(lambda: len(orchestrator.of(Confirmed)) == topology.CONTROL_LENGTH)
    # A quorum queue notices that it is full a little later than it is.
    for number in range(topology.CONTROL_LENGTH, topology.CONTROL_LENGTH + 1_000):
        orchestrator.transport.publish(a_task(LYON), number)
        wire.settle(lambda number=number: _ended(orchestrator) == number + 1)
        if orchestrator.of(Nacked):
            break
    assert len(orchestrator.of(Nacked)) == 1


def _ended(member: Member) -> int:
    return len(member.of(Confirmed)) + len(member.of(Nacked))


def test_of_two_copies_of_a_node_one_reads_and_the_other_takes_over(wire: Wire) -> None:
    """The second gets nothing until the first is gone, and then what the first had in hand."""
    first, second = reading(wire, LYON), reading(wire, LYON)
    orchestrator = wire.join("orchestrator")
    for number in (1, 2):
        orchestrator.transport.publish(a_task(LYON, bytes([number])), number)
    wire.settle(lambda: len(first.bodies) == 2)
    assert (first.bodies, second.bodies) == ([b"\x01", b"\x02"], [])
    wire.cut(first)
    wire.settle(lambda: len(second.bodies) == 2)
    assert second.bodies == [b"\x01", b"\x02"]


def test_an_experiment_has_its_queues_from_its_declaration_to_its_end(wire: Wire) -> None:
    """A reply finds its experiment while that runs, and is returned afterwards."""
    orchestrator, node = wire.join("orchestrator"), wire.join(LYON)
    queues = experiment_queues(EXPERIMENT, ORCHESTRATOR, wire.profile)
    orchestrator.transport.declare(queues)
    orchestrator.transport.consume(
        topology.experiment_replies(EXPERIMENT, ORCHESTRATOR), prefetch=5
    )
    reply = Publication(
        exchange=REPLIES,
        routing_key=key(LYON, desk(EXPERIMENT, ORCHESTRATOR), "control"),
        body=b"reply",
        properties=Properties(),
    )
    wire.settle()
    node.transport.publish(reply, 1)
    wire.settle(lambda: bool(orchestrator.bodies))
    assert orchestrator.bodies == [b"reply"]
    orchestrator.transport.delete([queue.name for queue in queues])
    wire.settle(lambda: bool(orchestrator.of(ConsumerLost)))
    assert len(orchestrator.of(ConsumerLost)) == 1
    node.transport.publish(reply, 2)
    wire.settle(lambda: bool(node.of(Returned)))
    assert [event.ticket for event in node.of(Returned)] == [2]


def test_reading_a_queue_that_is_not_there_is_told(wire: Wire) -> None:
    """The service learns of it; the transport lives on."""
    node = wire.join(LYON)
    node.transport.consume("node.nobody.tasks", prefetch=1)
    wire.settle(lambda: bool(node.of(ConsumerLost)))
    assert [event.queue for event in node.of(ConsumerLost)] == ["node.nobody.tasks"]


def test_after_closing_nothing_is_told_and_nothing_is_lost(wire: Wire) -> None:
    """What was in hand waits for the next to read."""
    node, orchestrator = reading(wire, LYON), wire.join("orchestrator")
    orchestrator.transport.publish(a_task(LYON), 1)
    wire.settle(lambda: bool(node.bodies))
    node.transport.close()
    told = len(node.events)
    orchestrator.transport.publish(a_task(LYON, b"later"), 2)
    wire.settle(lambda: len(orchestrator.of(Confirmed)) == 2)
    assert len(node.events) == told
    successor = reading(wire, LYON)
    wire.settle(lambda: len(successor.bodies) == 2)
    assert successor.bodies == [b"task", b"later"]


def test_the_readers_of_a_queue_are_counted_by_whoever_asks(wire: Wire) -> None:
    """Those who wait behind the active one of a classic queue too; a queue may have none.

    Of a replicated queue RabbitMQ counts the active one alone.
    """
    payloads = topology.node_payloads(LYON)
    for member in (wire.join(LYON), wire.join(LYON)):
        member.transport.consume(payloads, prefetch=1)
    wire.settle()
    asking = wire.join(PARIS)
    asking.transport.count_readers([payloads, topology.orchestrator_inbox(ORCHESTRATOR), "nowhere"])
    wire.settle(lambda: len(asking.of(ReadersCounted)) == 3)
    assert {one.queue: one.num_readers for one in asking.of(ReadersCounted)} == {
        payloads: 2 if wire.profile is Profile.SINGLE else 1,
        topology.orchestrator_inbox(ORCHESTRATOR): 0,
        "nowhere": None,
    }
    # Asking disturbs nobody, oneself included.
    assert not asking.of(ConsumerLost)
    assert not asking.of(Disconnected)
