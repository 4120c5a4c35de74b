"""Messages that are repeated, damaged, oversized or of a false sender: told, and in no model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from fedmq.transport import topology
from fedmq.types import NodeId
from tests.support.federation import CENTRE, LYON, PARIS, Federation, until
from tests.support.members import connected, login_at

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]

TASKS: Final = topology.node_tasks(NodeId(PARIS))
PAYLOADS: Final = topology.node_payloads(NodeId(PARIS))
TOO_LARGE: Final = bytes(17 * 2**20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as it stood in a queue."""

    exchange: str
    key: str
    properties: pika.BasicProperties
    body: bytes


@contextmanager
def channel_of(federation: Federation, user: str) -> Iterator[pika.channel.Channel]:
    """Yield a channel of a member by a program that is not fedmq."""
    with connected(login_at(federation.own_credentials(user))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def read(federation: Federation, queue: str) -> list[Letter]:
    """Return what waits for Paris in a queue, where it stays."""
    letters = []
    with channel_of(federation, PARIS) as channel:
        for method, properties, body in channel.consume(queue, inactivity_timeout=2.0):
            if method is None:
                break
            properties.headers = None  # they say how often it came, and who else gets it
            lane = topology.Lane.CONTROL if queue == TASKS else topology.Lane.BULK
            letters.append(
                Letter(
                    exchange=method.exchange,
                    key=topology.key(PARIS, lane),
                    properties=properties,
                    body=body,
                )
            )
    return letters


def refusal(federation: Federation, user: str, letter: Letter) -> str:
    """Return why the broker itself does not take a message."""
    with (
        channel_of(federation, user) as channel,
        pytest.raises(ChannelClosedByBroker) as refused,
    ):
        channel.basic_publish(letter.exchange, letter.key, letter.body, letter.properties)
    return str(refused.value)


@pytest.mark.row("7, 8")
def test_repeated_damaged_and_forged_messages_change_no_model(
    federation: Federation, undisturbed: list[str], held: str, mended: Callable[[], None]
) -> None:
    """Requests and chunks ten times each and cut short, chunks with a bit turned, garbage."""
    federation.handed_over(PARIS, held, 1)
    federation.programs[PARIS].kill()
    federation.release()
    requests = until(lambda: read(federation, TASKS), "work for the node that is away")
    chunks = until(lambda: read(federation, PAYLOADS), "a model for the node that is away")
    with channel_of(federation, "orchestrator") as channel:
        for letter in (*requests, *chunks):
            damaged = letter.body[:-1] + bytes([letter.body[-1] ^ 1])
            for body in (*[letter.body] * 10, letter.body[: len(letter.body) // 2]):
                channel.basic_publish(letter.exchange, letter.key, body, letter.properties)
            if letter in chunks:
                channel.basic_publish(letter.exchange, letter.key, damaged, letter.properties)
        for body in (b"garbage", b"\x91" * 100_000, b"\xdf\xff\xff\xff\xff"):
            first = requests[0]
            channel.basic_publish(first.exchange, first.key, body, first.properties)
    mended()
    federation.start_node(PARIS)
    assert federation.digests(held) == undisturbed
    expected = {"not_msgpack": len(requests) + len(chunks) + 3, "bad_signature": len(chunks)}
    until(lambda: federation.status(PARIS)["rejected"] == expected, f"{expected}")
    assert "turned away" in federation.do(PARIS, "node", "status").data
    assert federation.do(CENTRE, "dead", "--json").json["letters"]
    assert federation.programs[PARIS].is_running


@pytest.mark.row("9")
def test_what_is_too_large_or_of_another_user_the_broker_itself_refuses(
    federation: Federation, undisturbed: list[str], held: str, mended: Callable[[], None]
) -> None:
    """And who takes another's name in the letter is turned away by whom it was sent to."""
    assert undisturbed
    tasks = topology.key(LYON, topology.Lane.CONTROL)
    plain = pika.BasicProperties()
    large = Letter(exchange=topology.TASKS, key=tasks, properties=plain, body=TOO_LARGE)
    assert "larger than" in refusal(federation, "orchestrator", large)
    reply = topology.key(PARIS, held, topology.Lane.CONTROL)
    false = Letter(
        exchange=topology.REPLIES,
        key=reply,
        properties=pika.BasicProperties(user_id=LYON),
        body=b"of Lyon",
    )
    assert "user_id" in refusal(federation, PARIS, false)
    with channel_of(federation, PARIS) as channel:
        properties = pika.BasicProperties(user_id=PARIS)
        channel.basic_publish(topology.REPLIES, reply, b"garbage", properties)
    federation.programs["orchestrator"].expect("message_rejected")
    mended()
    federation.release()
    assert federation.digests(held) == undisturbed
