"""The courier on the memory broker: once, whole, receipted, whatever is cut, lost or forged."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from fedmq.disk import LocalDisk
from fedmq.errors import ProtocolError
from fedmq.hub.keyring import KeptWire
from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest
from fedmq.messages.notices import ExperimentOver, Receipt, RosterNotice
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.messages.replies import TrainReply
from fedmq.messages.requests import CancelRequest
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport import courier as couriers
from fedmq.transport import topology
from fedmq.transport.courier import Courier
from fedmq.transport.inbox import TurnedAway
from fedmq.transport.journal import Journal
from fedmq.transport.memory import MemoryBroker, MemoryTransport
from fedmq.transport.outbox import FIRST_REPEAT_S
from fedmq.transport.ports import Delivered, Delivery, Properties, Publication, TransportEvent
from fedmq.transport.routes import from_node, to_node
from fedmq.transport.spool import Spool
from fedmq.transport.topology import Lane
from fedmq.transport.wires import Wire
from fedmq.types import ORCHESTRATOR, Digest, ExperimentId, NodeId, Role
from tests.support.clock import FakeClock
from tests.support.keys import Keys

LYON = NodeId("chu-lyon")
LUNG = ExperimentId("lung")
PAYLOAD = bytes(range(256)) * 4096 * 5
"""5 MiB: three chunks."""


class Member:
    """A service that remembers what it was given, over any number of lives."""

    def __init__(self, world: "World", name: str, queues: list[str]) -> None:
        self.world = world
        self.name = name
        self.queues = queues
        self.folder = world.folder / name
        self.accepted: list[Message] = []
        self.turned: list[TurnedAway] = []
        self.leftovers: set[Digest] = set()
        self.refuses = False
        self.asks_at_once = False
        self.wants = True
        self.live()

    def live(self) -> None:
        """Begin a life with what is on the disk."""
        self.events: list[TransportEvent] = []
        self.losing: set[int] = set()
        self.transport = MemoryTransport(self.world.broker, self.name, self.take)
        self.journal = Journal(self.folder / "journal.sqlite", couriers.SCHEMA)
        self.courier = Courier(
            me=self.name,
            transport=self.transport,
            wire=self.world.wires.get(self.name, PlainWire()),
            journal=self.journal,
            spool=Spool(LocalDisk(self.folder / "payloads")),
            clock=FakeClock(lambda: self.world.now),
            brings_rosters=self.name == ORCHESTRATOR,
        )
        self.courier.attach(self)
        for queue in self.queues:
            self.transport.consume(queue, prefetch=4)
        self.transport.start()

    def die(self) -> None:
        """End a life without a word."""
        self.transport.disconnect()
        self.journal.close()

    def take(self, event: TransportEvent) -> None:
        """Hand an event to the courier, unless it is of a chunk that is to be lost."""
        if isinstance(event, Delivered) and event.delivery.queue.endswith("payloads"):
            index = int(event.delivery.properties.message_id.rpartition(".")[2])
            if index in self.losing:
                self.losing.discard(index)
                self.transport.acknowledge(event.delivery)
                return
        self.courier.handle(event)

    def accept(self, message: Message) -> None:
        """Keep it."""
        if self.refuses:
            raise ProtocolError("makes_no_sense")
        self.accepted.append(message)

    def wants_payload(self, _message: Message) -> bool:
        """Say whether a message waits for its payload."""
        return self.wants

    def expect(self, _message: Message) -> bool:
        """Say whether it is asked for at once."""
        return self.asks_at_once

    def hear(self, message: Message) -> None:
        """Keep it."""
        self.accepted.append(message)

    def fetched(self, digest: Digest) -> None:
        """Nothing waits for it here."""

    def keeps(self, digest: Digest) -> bool:
        """What was not left over."""
        return digest not in self.leftovers

    def may_fetch(self, sender: str, _digest: Digest) -> bool:
        """Everyone but basel."""
        return sender != "umc-basel"

    def turned_away(self, message: TurnedAway) -> None:
        """Keep it."""
        self.turned.append(message)

    def make_payload(self, content: bytes = PAYLOAD) -> Manifest:
        """Return the manifest of a payload on this member's disk."""
        LocalDisk(self.folder / "payloads").write("new", 0, content)
        return self.courier.spool.adopt("new")

    def reasons(self) -> list[str]:
        """Return why messages were turned away."""
        return [str(row[0]) for row in self.journal.rows("SELECT reason FROM rejected")]


class World:
    """A broker, an orchestrator and a node."""

    def __init__(self, folder: Path, wires: Mapping[str, Wire] = MappingProxyType({})) -> None:
        self.folder = folder
        self.wires = wires
        self.now = 1_000.0
        layout = topology.federation(nodes=[LYON, NodeId("umc-basel")], researchers=[])
        self.broker = MemoryBroker(layout)
        self.node = Member(self, LYON, [topology.node_tasks(LYON), topology.node_payloads(LYON)])
        lung = topology.experiment_queues(LUNG, ORCHESTRATOR)
        self.orchestrator = Member(self, "orchestrator", [queue.name for queue in lung])
        self.orchestrator.transport.declare(lung)
        self.run()

    def run(self, seconds: float = 0.0) -> None:
        """Let everything happen, then time pass and everything happen again."""
        self.broker.run_until_idle()
        for _ in range(int(seconds)):
            self.now += 1.0
            for member in (self.node, self.orchestrator):
                member.courier.tick()
            self.broker.run_until_idle()

    def reply(self, manifest: Manifest, message_id: str = "lung.1.reply") -> Message:
        """Send an update's announcement from the node."""
        body = TrainReply(update=manifest, num_cases=3, metrics={}, duration_s=1.0)
        courier = self.node.courier
        message = courier.write(body, message_id, "orchestrator", Place(experiment=LUNG, round=1))
        with courier.transaction():
            courier.post(message, from_node(LYON, ORCHESTRATOR, LUNG))
        return message

    def cancel(self, message_id: str = "cancel.1") -> None:
        """Send a small request to the node."""
        courier = self.orchestrator.courier
        body = CancelRequest(before_attempt=1)
        message = courier.write(body, message_id, LYON, Place(experiment=LUNG))
        with courier.transaction():
            courier.post(message, to_node(LYON))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    for member in (made.node, made.orchestrator):
        member.journal.close()


def test_a_message_is_accepted_once_and_its_receipt_empties_the_outbox(world: World) -> None:
    """Sent, received, receipted."""
    world.cancel()
    assert world.orchestrator.courier.num_unsent == 1
    world.run()
    assert [message.body for message in world.node.accepted] == [CancelRequest(before_attempt=1)]
    assert world.orchestrator.courier.num_unsent == 0


def test_a_payload_is_received_before_the_message_that_announces_it(world: World) -> None:
    """No receipt and no acceptance without the payload; both with it."""
    manifest = world.node.make_payload()
    world.reply(manifest)
    world.run()
    assert world.orchestrator.accepted == []
    assert world.node.courier.num_unsent == 1
    world.node.courier.push(manifest, [from_node(LYON, ORCHESTRATOR, LUNG)], LUNG)
    world.run()
    assert len(world.orchestrator.accepted) == 1
    assert world.node.courier.num_unsent == 0
    assert world.orchestrator.courier.spool.path(manifest.digest).read_bytes() == PAYLOAD


def test_a_lost_chunk_is_asked_for_and_only_that_one(world: World) -> None:
    """Three chunks, one lost: one more is sent."""
    world.orchestrator.losing = {1}
    manifest = world.node.make_payload()
    world.reply(manifest)
    world.node.courier.push(manifest, [from_node(LYON, ORCHESTRATOR, LUNG)], LUNG)
    world.run()
    assert world.orchestrator.accepted == []
    world.run(seconds=10)
    assert len(world.orchestrator.accepted) == 1
    sent = world.node.courier.bytes_sent(topology.REPLIES, LUNG)
    assert len(PAYLOAD) + CHUNK_BYTES < sent < len(PAYLOAD) + CHUNK_BYTES + 4096


def test_a_payload_that_nobody_pushed_is_asked_for(world: World) -> None:
    """At once where the receiver knows that it is not on its way."""
    world.orchestrator.asks_at_once = True
    world.reply(world.node.make_payload())
    world.run()
    assert len(world.orchestrator.accepted) == 1


def test_a_message_that_wants_no_payload_is_accepted_without_it(world: World) -> None:
    """What its receiver refuses anyhow makes it ask for nothing."""
    world.orchestrator.wants = False
    manifest = world.node.make_payload()
    world.reply(manifest)
    world.run(seconds=10)
    assert len(world.orchestrator.accepted) == 1
    assert not world.orchestrator.courier.spool.has(manifest.digest)
    assert world.orchestrator.courier.num_awaited == world.node.courier.num_unsent == 0


def test_a_repeated_message_is_receipted_and_not_accepted_again(world: World) -> None:
    """As after a receipt that was lost."""
    message = world.reply(world.node.make_payload(b"small"))
    world.run(seconds=10)
    again = Publication(
        exchange=topology.REPLIES,
        routing_key=f"{LYON}.{LUNG}.control",
        body=encode(message),
        properties=Properties(),
    )
    world.node.transport.publish(again, 77_000)
    world.run()
    assert len(world.orchestrator.accepted) == 1
    assert world.orchestrator.reasons() == []


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("dies", [True, False])
def test_another_message_under_a_number_that_was_taken_is_turned_away(
    world: World, *, is_whole: bool, dies: bool
) -> None:
    """It is on record; a true repeat is not, nor one sent again after the roster changed."""
    manifest = world.node.make_payload()
    route = from_node(LYON, ORCHESTRATOR, LUNG)
    if is_whole:
        world.node.courier.push(manifest, [route], LUNG)
        world.run()
    else:
        world.node.leftovers.add(manifest.digest)
    world.reply(manifest)
    (encoded,) = [row[0] for row in world.node.journal.rows("SELECT encoded FROM outbox")]
    assert isinstance(encoded, bytes)
    first = decode(encoded)
    body = TrainReply(update=manifest, num_cases=4, metrics={}, duration_s=1.0)
    other = replace(first, body=body)
    newer = first.envelope.model_copy(update={"roster": 9, "roster_hash": "9" * 64})
    newer_roster = replace(first, envelope=newer)
    world.run()
    if dies:
        world.orchestrator.die()
        world.orchestrator.live()
    for one in (first, other, newer_roster):
        publication = Publication(
            exchange=route.exchange,
            routing_key=route.key(Lane.CONTROL),
            body=encode(one),
            properties=Properties(type=one.envelope.type, user_id=LYON),
        )
        world.node.transport.publish(publication, 77)
        world.run()
    assert world.orchestrator.reasons() == ["number_taken"]
    (turned,) = world.orchestrator.turned
    assert (turned.sender, turned.kind) == (LYON, "train.reply")
    assert [one.body for one in world.orchestrator.accepted] == ([first.body] if is_whole else [])


def test_nothing_is_lost_when_both_die_between_any_two_steps(tmp_path: Path) -> None:
    """After each number of the broker's steps both are killed, and live again."""
    for steps in range(40):
        world = World(tmp_path / str(steps))
        manifest = world.node.make_payload()
        world.reply(manifest)
        world.node.courier.push(manifest, [from_node(LYON, ORCHESTRATOR, LUNG)], LUNG)
        for _ in range(steps):
            world.broker.step()
        for member in (world.node, world.orchestrator):
            member.die()
            member.live()
        world.run(seconds=200)
        assert len(world.orchestrator.accepted) == 1, steps
        assert world.node.courier.num_unsent == 0, steps
        assert world.orchestrator.courier.spool.path(manifest.digest).read_bytes() == PAYLOAD
        for member in (world.node, world.orchestrator):
            member.journal.close()


def test_only_the_receiver_can_receipt_a_message(world: World) -> None:
    """Ids can be guessed: another node's receipt would take an order out of the outbox."""
    world.node.transport.disconnect()
    world.cancel("cancel.1")
    basel = MemoryTransport(world.broker, "umc-basel", lambda _event: None)
    basel.start()
    world.run()
    receipt = world.orchestrator.courier.write(
        Receipt(of="cancel.1"), "receipt.1", "orchestrator", Place(experiment=LUNG)
    )
    own = Message(
        envelope=receipt.envelope.model_copy(update={"sender": "umc-basel"}), body=receipt.body
    )
    way = from_node(NodeId("umc-basel"), ORCHESTRATOR, LUNG)
    basel.publish(
        Publication(
            exchange=way.exchange,
            routing_key=way.key(topology.Lane.CONTROL),
            body=encode(own),
            properties=Properties(),
        ),
        1,
    )
    world.run()
    assert world.orchestrator.courier.num_unsent == 1
    assert world.orchestrator.reasons() == ["not_the_recipient"]
    world.node.transport.connect()
    world.run()
    assert world.orchestrator.courier.num_unsent == 0


def test_a_message_without_receipt_is_sent_again_after_a_while(world: World) -> None:
    """The broker's confirm is not the receiver's receipt."""
    world.node.transport.disconnect()
    world.cancel()
    world.run()
    world.broker.delete(topology.node_tasks(LYON))
    for queue in topology.node_queues(LYON):
        world.broker.declare(queue)
    world.node.transport.connect()
    world.run()
    assert world.node.accepted == []
    world.run(seconds=FIRST_REPEAT_S + 2)
    assert len(world.node.accepted) == 1


def test_a_returned_message_is_tried_again_until_there_is_a_queue(world: World) -> None:
    """No queue is no reason to lose it."""
    world.broker.delete(topology.node_tasks(LYON))
    world.cancel()
    world.run(seconds=5)
    for queue in topology.node_queues(LYON):
        world.broker.declare(queue)
    world.node.transport.consume(topology.node_tasks(LYON), prefetch=1)
    world.run(seconds=61)
    assert len(world.node.accepted) == 1


def test_what_no_service_can_use_goes_to_the_dead_letters_with_its_reason(world: World) -> None:
    """Garbage, another's name, another's recipient, nonsense; the next message is taken."""
    basel = MemoryTransport(world.broker, "umc-basel", lambda _event: None)
    basel.start()
    world.run()
    genuine = world.orchestrator.courier.write(
        CancelRequest(before_attempt=1), "m", "umc-basel", Place()
    )
    forged = encode(genuine)
    for ticket, (transport, body) in enumerate(
        [(world.orchestrator.transport, b"garbage"), (basel, forged)], start=77_000
    ):
        transport.publish(
            Publication(
                exchange=topology.TASKS,
                routing_key=f"{LYON}.control",
                body=body,
                properties=Properties(),
            ),
            ticket,
        )
    world.orchestrator.transport.publish(
        Publication(
            exchange=topology.TASKS,
            routing_key=f"{LYON}.control",
            body=forged,
            properties=Properties(),
        ),
        78_000,
    )
    world.run()
    world.node.refuses = True
    world.cancel("nonsense")
    world.run()
    world.node.refuses = False
    world.cancel("sense")
    world.run()
    assert world.node.reasons() == [
        "not_msgpack",
        "forged_sender",
        "wrong_recipient",
        "makes_no_sense",
    ]
    # The service hears of each, with what the broker says of it.
    task, order = topology.node_tasks(LYON), CancelRequest.TYPE
    assert [(one.reason, one.queue, one.kind, one.sender) for one in world.node.turned] == [
        ("not_msgpack", task, "", "orchestrator"),
        ("forged_sender", task, "", "umc-basel"),
        ("wrong_recipient", task, "", "orchestrator"),
        ("makes_no_sense", task, order, "orchestrator"),
    ]
    assert world.broker.depth(topology.DEAD_QUEUE) == 4
    assert len(world.node.accepted) == 1


def test_a_message_whose_sender_the_broker_does_not_vouch_for_is_turned_away(
    world: World,
) -> None:
    """Its envelope may name whom it likes: without a user_id nobody has looked at that."""
    order = world.orchestrator.courier.write(CancelRequest(before_attempt=1), "m", LYON, Place())
    unsigned = Delivery(
        queue=topology.node_tasks(LYON),
        exchange=topology.TASKS,
        routing_key=f"{LYON}.control",
        body=encode(order),
        properties=Properties(type=order.envelope.type),
        redelivered=False,
        tag=77,
        connection=1,
    )
    world.node.courier.handle(Delivered(delivery=unsigned))
    world.run()
    assert world.node.reasons() == ["no_user_id"]
    assert world.node.accepted == []
    world.node.courier.handle(
        Delivered(delivery=replace(unsigned, properties=Properties(user_id="orchestrator")))
    )
    assert len(world.node.accepted) == 1


def test_a_node_takes_orders_from_orchestrators_only(tmp_path: Path) -> None:
    """Another member with its own true name and its own true signature is refused."""
    basel = "umc-basel"
    keys = Keys({LYON: Role.NODE, basel: Role.NODE, ORCHESTRATOR: Role.ORCHESTRATOR})
    world = World(tmp_path, {name: keys.wire(name) for name in (LYON, ORCHESTRATOR)})
    order = world.orchestrator.courier.write(CancelRequest(before_attempt=1), "m", LYON, Place())
    for name in (basel, ORCHESTRATOR):
        envelope = order.envelope.model_copy(update={"sender": name, "roster": keys.roster.version})
        delivery = Delivery(
            queue=topology.node_tasks(LYON),
            exchange=topology.TASKS,
            routing_key=f"{LYON}.control",
            body=keys.wire(name).seal(Message(envelope=envelope, body=order.body), [LYON]),
            properties=Properties(user_id=name),
            redelivered=False,
            tag=77,
            connection=1,
        )
        world.node.courier.handle(Delivered(delivery=delivery))
    assert world.node.reasons() == ["wrong_role"]
    assert [message.envelope.sender for message in world.node.accepted] == [ORCHESTRATOR]
    for member in (world.node, world.orchestrator):
        member.journal.close()


def test_a_governance_that_signs_two_rosters_of_one_version_is_found_out(tmp_path: Path) -> None:
    """By the first message between two that have one each; with the next version all is well."""
    roles = {LYON: Role.NODE, "umc-basel": Role.NODE, "orchestrator": Role.ORCHESTRATOR}
    keys, wires = Keys(roles), {}
    for name, members in {"orchestrator": roles, LYON: [LYON, "orchestrator"]}.items():
        keys.roster = keys.make_roster(1, *members)
        keyring = keys.write_keyring(tmp_path / "keys" / name, keys.identities[name])
        wires[name] = KeptWire(keyring)
    world = World(tmp_path, wires)
    world.cancel()
    world.run()
    assert [(one.reason, one.kind, one.sender) for one in world.node.turned] == [
        ("roster_forked", RosterNotice.TYPE, "orchestrator"),
        ("roster_forked", CancelRequest.TYPE, "orchestrator"),
    ]
    assert world.node.reasons() == ["roster_forked"] * 2
    assert world.node.accepted == []
    assert world.orchestrator.courier.num_unsent == 1
    keys.roster = keys.make_roster(2, *roles)
    wires["orchestrator"].learn(keys.signed.notice)
    world.run(seconds=10)
    assert wires[LYON].version == 2
    assert [message.body for message in world.node.accepted] == [CancelRequest(before_attempt=1)]
    assert world.orchestrator.courier.num_unsent == 0
    for member in (world.node, world.orchestrator):
        member.journal.close()


def test_a_roster_tells_nothing_of_the_hour(world: World) -> None:
    """Anybody may bring one, unsigned: orders would expire by whatever time it says."""
    order = world.orchestrator.courier.write(CancelRequest(before_attempt=1), "m", LYON, Place())
    notice = RosterNotice(content="{}", signature="0f" * 64)
    far = order.envelope.model_copy(
        update={"type": RosterNotice.TYPE, "message_id": "r", "sent_at": world.now + 1e9}
    )
    for envelope, body in ((order.envelope, order.body), (far, notice)):
        delivery = Delivery(
            queue=topology.node_tasks(LYON),
            exchange=topology.TASKS,
            routing_key=f"{LYON}.control",
            body=encode(Message(envelope=envelope, body=body)),
            properties=Properties(user_id="orchestrator"),
            redelivered=False,
            tag=77,
            connection=1,
        )
        world.node.courier.handle(Delivered(delivery=delivery))
        assert world.node.courier.hour_at(ORCHESTRATOR) == pytest.approx(world.now, abs=1.0)


def test_who_asks_for_a_payload_that_is_gone_is_not_turned_away(world: World) -> None:
    """It was there when the request was made; a crash may have left its file behind.

    One that is there is for those it is meant for.
    """
    gone = world.node.make_payload(b"gone")
    left = world.node.make_payload(b"left")
    there = world.node.make_payload(b"there")
    world.node.courier.spool.remove(gone.digest)
    world.node.leftovers.add(left.digest)
    world.node.may_fetch = lambda _sender, _digest: False  # type: ignore[method-assign]
    for manifest in (gone, left, there):
        world.orchestrator.courier.fetch(manifest, to_node(LYON), LUNG)
    world.run()
    assert [one.reason for one in world.node.turned] == ["not_for_sender"]
    assert world.broker.depth(topology.DEAD_QUEUE) == 1


def test_an_experiment_that_is_over_leaves_nothing_to_send_or_to_await(world: World) -> None:
    """Its notice is receipted although the experiment's queues are gone."""
    world.node.transport.disconnect()
    world.reply(world.node.make_payload())
    world.run()
    orchestrator = world.orchestrator.courier
    over = orchestrator.write(
        ExperimentOver(state="finished", reason=""), "over", LYON, Place(experiment=LUNG)
    )
    with orchestrator.transaction():
        orchestrator.post(over, to_node(LYON))
        orchestrator.drop(LUNG, keep="over")
    world.broker.delete(topology.experiment_replies(LUNG, ORCHESTRATOR))
    world.node.courier.drop(LUNG)
    world.node.transport.connect()
    world.orchestrator.transport.consume(topology.orchestrator_inbox(ORCHESTRATOR), prefetch=1)
    world.run(seconds=5)
    assert (world.node.courier.num_unsent, orchestrator.num_unsent) == (0, 0)


def test_nothing_leaves_before_the_outermost_transaction_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in between would forget what others have: the message, and its number."""
    published: list[Publication] = []
    monkeypatch.setattr(MemoryTransport, "publish", lambda *given: published.append(given[1]))
    manifest = world.node.make_payload()
    with world.node.courier.transaction():
        world.reply(manifest)
        world.node.courier.push(manifest, [from_node(LYON, ORCHESTRATOR, LUNG)], LUNG)
        with world.node.courier.transaction():
            pass
        assert published == []
    keys = [one.routing_key.rpartition(".")[2] for one in published]
    assert keys == ["bulk", "bulk", "bulk", "control"]


def test_what_was_pushed_in_a_transaction_that_failed_is_not_sent(world: World) -> None:
    """Neither then nor later."""
    manifest = world.node.make_payload()

    def fail() -> None:
        with world.node.courier.transaction():
            world.node.courier.push(manifest, [from_node(LYON, ORCHESTRATOR, LUNG)], LUNG)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    world.run(seconds=2)
    assert world.node.courier.bytes_sent(topology.REPLIES, LUNG) == 0


def test_an_update_that_comes_before_its_message_is_not_waited_for(world: World) -> None:
    """The message is received at once, in one transaction."""
    manifest = world.node.make_payload()
    world.node.courier.push(manifest, [from_node(LYON, ORCHESTRATOR, LUNG)], LUNG)
    world.run()
    world.reply(manifest)
    world.run()
    assert len(world.orchestrator.accepted) == 1
    assert world.orchestrator.journal.cell("SELECT count(*) FROM waiting") == 0
