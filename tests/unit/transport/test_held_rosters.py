"""Rosters that wait for a person, on the memory broker with keyrings: who is out is out at once."""

from pathlib import Path

from fedmq.hub.keyring import KeptWire, new_identity
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Place
from fedmq.messages.notices import Activity, Heartbeat, Hello
from fedmq.messages.replies import Refusal, RefusalCode
from fedmq.messages.requests import CancelRequest
from fedmq.security.roster import enrolled, sign_roster, with_member, without_member
from fedmq.transport import topology
from fedmq.transport.ports import Delivered, Delivery, Properties
from fedmq.transport.routes import from_node
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.transport.test_courier import LUNG, LYON, World

CENTRE, SECOND, NORTH = "orchestrator", "hub-b", "centre-north"


def order(world: World, keys: Keys, sender: str, message_id: str) -> None:
    """An orchestrator, at the broker under its own name, cancels something at the node."""
    body = CancelRequest(before_attempt=1)
    written = world.orchestrator.courier.write(body, message_id, LYON, Place())
    envelope = written.envelope.model_copy(update={"sender": sender, "roster": 1})
    delivery = Delivery(
        queue=topology.node_tasks(LYON),
        exchange=topology.TASKS,
        routing_key=f"{LYON}.control",
        body=keys.wire(sender).seal(Message(envelope=envelope, body=body), [LYON]),
        properties=Properties(user_id=sender),
        redelivered=False,
        tag=77,
        connection=1,
    )
    world.node.courier.handle(Delivered(delivery=delivery))


def answer(world: World, message_id: str) -> None:
    """The node says something to the second orchestrator, until it has a receipt."""
    body = Refusal(code=RefusalCode.NOT_MANDATED, request_type="prepare.request")
    courier = world.node.courier
    message = courier.write(body, message_id, SECOND, Place(experiment=LUNG))
    with courier.transaction():
        courier.post(message, from_node(LYON, SECOND, LUNG))
    world.run()


def num_sent_to_second(world: World) -> int:
    """Return how many messages of the experiment lie in the second orchestrator's queue."""
    return world.broker.depth(topology.experiment_replies(LUNG, SECOND))


def test_an_orchestrator_that_a_held_roster_revokes_is_obeyed_and_written_to_no_more(
    tmp_path: Path,
) -> None:
    """In this life and the next; the other one is, and what was for the first is lost to nobody."""
    keys = Keys({LYON: Role.NODE, CENTRE: Role.ORCHESTRATOR, SECOND: Role.ORCHESTRATOR})
    rings = {
        name: keys.write_keyring(tmp_path / "keys" / name, keys.identities[name])
        for name in (LYON, CENTRE)
    }
    wires = {name: KeptWire(ring) for name, ring in rings.items()}
    world = World(tmp_path, wires)
    world.orchestrator.transport.declare(topology.experiment_queues(LUNG, SECOND))
    order(world, keys, SECOND, "first")
    assert [one.envelope.sender for one in world.node.accepted] == [SECOND]
    answer(world, "before")
    assert num_sent_to_second(world) == 1

    # The hub adds an orchestrator, and puts out the second one: the node hears both at once.
    north = enrolled(new_identity(NORTH, Role.ORCHESTRATOR).public)
    newer = with_member(keys.roster, north, at=2.0)
    newest = without_member(newer, SECOND, "its machine was stolen", at=3.0)
    rings[CENTRE].write_roster(sign_roster(newest, keys.governance))
    world.run(seconds=3)
    assert (wires[CENTRE].version, wires[LYON].version) == (3, 1)
    num_before = num_sent_to_second(world)

    for life in (1, 2):
        answer(world, f"answer-{life}")
        order(world, keys, SECOND, f"later-{life}")
        assert world.node.reasons()[life - 1 :] == ["revoked_sender"]
        world.cancel(f"cancel-{life}")
        world.run(seconds=3)
        assert world.node.accepted[-1].envelope.sender == CENTRE
        assert world.orchestrator.courier.num_unsent == 0
        world.node.die()
        world.wires = {**wires, LYON: KeptWire(rings[LYON])}
        world.node.live()
        world.run(seconds=3)
    assert [one.envelope.sender for one in world.node.accepted] == [SECOND, CENTRE, CENTRE]
    assert num_sent_to_second(world) == num_before
    assert world.node.courier.num_unsent == 3, "they wait, as for anybody whose keys are not known"
    for member in (world.node, world.orchestrator):
        member.journal.close()


def beat(world: World) -> None:
    """The node gives a sign of life, which all orchestrators read."""
    body = Heartbeat(version="0", activity=Activity.IDLE, progress=0.0, num_waiting=0)
    world.node.courier.tell(world.node.courier.write(body, "heartbeat", "-", Place()), "heartbeat")
    world.run()


def greet(world: World, nonce: str) -> None:
    """The node says hello to the orchestrator, in the queue that it reads."""
    hello = world.node.courier.write(Hello(nonce=nonce), f"hello.{nonce}", CENTRE, Place())
    world.node.courier.say(hello, from_node(LYON, CENTRE, LUNG))
    world.run()


def test_what_an_orchestrator_asked_before_it_was_agreed_to_comes_again_with_the_nodes_next_word(
    tmp_path: Path,
) -> None:
    """Not when the outbox repeats it, which is up to six hours later."""
    keys = Keys({LYON: Role.NODE, CENTRE: Role.ORCHESTRATOR, SECOND: Role.ORCHESTRATOR})
    newest = keys.make_roster(2, LYON, CENTRE, SECOND)
    keys.roster = keys.make_roster(1, LYON, SECOND)
    node_ring = keys.write_keyring(tmp_path / "keys" / LYON, keys.identities[LYON])
    keys.roster = newest
    centre_ring = keys.write_keyring(tmp_path / "keys" / CENTRE, keys.identities[CENTRE])
    world = World(tmp_path, {LYON: KeptWire(node_ring), CENTRE: KeptWire(centre_ring)})
    world.orchestrator.transport.consume(topology.orchestrator_events(CENTRE), prefetch=4)
    world.run(seconds=2)
    assert (world.wires[LYON].version, world.wires[LYON].newest) == (1, 2), "nobody has agreed yet"
    beat(world)
    world.cancel()
    world.run(seconds=1200)
    assert set(world.node.reasons()) == {"unknown_sender"}
    assert world.orchestrator.courier.num_unsent == 1

    held = node_ring.held_roster()
    assert held is not None
    node_ring.write_roster(held)
    world.run(seconds=2)
    assert world.wires[LYON].version == 2
    assert world.orchestrator.courier.num_unsent == 1
    greet(world, "1")
    world.run(seconds=1)
    assert [type(one.body) for one in world.node.accepted] == [CancelRequest]
    assert world.orchestrator.courier.num_unsent == 0
    for member in (world.node, world.orchestrator):
        member.journal.close()
