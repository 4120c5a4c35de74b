"""Messages that are oversized, garbage or of a false sender: told, and in no model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from fedmq.hub.credentials import read_credentials
from fedmq.transport import topology
from fedmq.transport.rabbitmq import make_login
from tests.support.federation import LYON, PARIS, Federation

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("faults"),
]

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
    known = read_credentials(federation.credentials(user))
    login = make_login(known.url, user=known.user, password=known.password)
    host, port = login.addresses[0]
    secret = pika.PlainCredentials(login.user, login.password)
    with pika.BlockingConnection(
        pika.ConnectionParameters(host, port, login.vhost, secret)
    ) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def refusal(federation: Federation, user: str, letter: Letter) -> str:
    """Return why the broker itself does not take a message."""
    with (
        channel_of(federation, user) as channel,
        pytest.raises(ChannelClosedByBroker) as refused,
    ):
        channel.basic_publish(letter.exchange, letter.key, letter.body, letter.properties)
    return str(refused.value)


def test_what_is_too_large_or_of_another_user_the_broker_itself_refuses(
    federation: Federation, undisturbed: list[str], held: str
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
    federation.release()
    assert federation.digests(held) == undisturbed
