"""Receipts that an answer makes needless, on the memory broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope, Place
from fedmq.messages.notices import Receipt
from fedmq.messages.replies import PingReply
from fedmq.messages.requests import PingRequest
from fedmq.transport.memory import MemoryTransport
from fedmq.transport.ports import Publication
from fedmq.transport.receipts import PATIENCE_S
from fedmq.transport.routes import from_node, to_node
from fedmq.types import ORCHESTRATOR
from tests.unit.transport.test_courier import LUNG, LYON, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    for member in (made.node, made.orchestrator):
        member.journal.close()


def ask(world: World) -> Message:
    """Send a question to the node."""
    courier = world.orchestrator.courier
    message = courier.write(PingRequest(asked_at=1.0), "ping.1", LYON, Place(experiment=LUNG))
    with courier.transaction():
        courier.post(message, to_node(LYON))
    return message


def answer(world: World, asked: Envelope) -> None:
    """Answer it."""
    courier = world.node.courier
    message = courier.write(
        PingReply(asked_at=1.0), "ping.1.reply", "orchestrator", asked.place, answers=asked
    )
    courier.post(message, from_node(LYON, ORCHESTRATOR, LUNG))


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the kinds of what the node publishes from now on."""
    kinds: list[str] = []
    publish = MemoryTransport.publish

    def note(transport: MemoryTransport, publication: Publication, ticket: int) -> None:
        if publication.properties.user_id == LYON:
            kinds.append(publication.properties.type)
        publish(transport, publication, ticket)

    monkeypatch.setattr(MemoryTransport, "publish", note)
    return kinds


def test_a_request_that_is_answered_soon_has_no_other_receipt(
    world: World, published: list[str]
) -> None:
    """The answer empties the outbox of who asked; nothing more comes, however long it waits."""
    asked = ask(world)
    world.run()
    assert world.orchestrator.courier.num_unsent == 1
    with world.node.courier.transaction():
        answer(world, asked.envelope)
    world.run(seconds=10)
    assert world.orchestrator.courier.num_unsent == 0
    assert published.count(Receipt.TYPE) == 0


def test_a_request_that_is_answered_while_it_is_received_has_no_other_receipt(
    world: World, published: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same transaction, before its receipt could be owed."""
    monkeypatch.setattr(
        world.node, "accept", lambda message: answer(world, message.envelope), raising=True
    )
    ask(world)
    world.run(seconds=10)
    assert world.orchestrator.courier.num_unsent == 0
    assert published.count(Receipt.TYPE) == 0


def test_a_request_whose_answer_takes_long_is_receipted_in_a_moment(
    world: World, published: list[str]
) -> None:
    """Once; a training may take hours."""
    ask(world)
    world.run(seconds=int(PATIENCE_S) - 1)
    assert published.count(Receipt.TYPE) == 0
    world.run(seconds=10)
    assert published.count(Receipt.TYPE) == 1
    assert world.orchestrator.courier.num_unsent == 0


def test_an_answer_that_was_not_written_leaves_the_receipt_owed(
    world: World, published: list[str]
) -> None:
    """Its transaction failed: nobody will see it."""
    asked = ask(world)
    world.run()

    def fail() -> None:
        with world.node.courier.transaction():
            answer(world, asked.envelope)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    world.run(seconds=10)
    assert published.count(Receipt.TYPE) == 1


def test_an_answer_of_somebody_else_is_no_receipt(world: World) -> None:
    """Whoever knows the id of a question could take it out of the outbox otherwise."""
    asked = ask(world)
    foreign = asked.envelope.model_copy(
        update={"correlation_id": asked.envelope.message_id, "sender": "umc-basel"}
    )
    world.orchestrator.courier._outbox.answered(foreign)
    assert world.orchestrator.courier.num_unsent == 1
