"""Messages that RabbitMQ lets through without saying whose they are: services turn them away."""

import threading
import time
from pathlib import Path

import pika
import pytest

from fedmq.clocks import SystemClock
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.replies import PingReply
from fedmq.messages.submissions import Query, QueryKind
from fedmq.orchestrator.service import OrchestratorService
from fedmq.transport import topology
from fedmq.transport.home import JOURNAL_NAME, LocalHome
from fedmq.transport.journal import Journal
from fedmq.transport.rabbitmq import RabbitTransport
from fedmq.types import NOWHERE, ORCHESTRATOR, NodeId, ResearcherId, Role
from tests.support.broker import TestBroker, federation_rights
from tests.support.keys import Keys

pytestmark = pytest.mark.rabbitmq

ANNA = ResearcherId("anna")
LYON = "chu-lyon"
PATIENCE_S = 60.0


def publish(  # noqa: PLR0913 - what a publication is made of
    broker: TestBroker,
    vhost: str,
    body: bytes,
    user_id: str | None,
    *,
    user: str = ANNA,
    way: tuple[str, str] = (
        topology.SUBMISSIONS,
        topology.key(ANNA, topology.desk(NOWHERE, ORCHESTRATOR), topology.Lane.CONTROL),
    ),
    headers: dict[str, list[str]] | None = None,
) -> None:
    """Publish as a member, by a program that is not fedmq."""
    login = pika.PlainCredentials(user, broker.password)
    parameters = pika.ConnectionParameters("127.0.0.1", broker.amqp_ports[0], vhost, login)
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            *way,
            body,
            pika.BasicProperties(user_id=user_id, headers=headers),  # type: ignore[arg-type]
            mandatory=True,
        )
    finally:
        connection.close()


def test_what_the_broker_lets_through_and_is_not_genuine_is_turned_away_and_noted(
    broker: TestBroker, tmp_path: Path
) -> None:
    """Without a user_id, which AMQP leaves to the publisher; and with copies to other keys."""
    layout = topology.federation(nodes=[NodeId("chu-lyon")], researchers=[ANNA])
    vhost = broker.make_vhost(layout, federation_rights([LYON], [ANNA]))
    login = broker.login(vhost, "orchestrator")
    home = tmp_path / "orchestrator"
    keys = Keys({ANNA: Role.RESEARCHER, LYON: Role.NODE, "orchestrator": Role.ORCHESTRATOR})
    message = Message(
        envelope=Envelope(
            type=Query.TYPE,
            message_id="q-1",
            sender=ANNA,
            recipient=ORCHESTRATOR,
            sent_at=time.time(),
        ),
        body=Query(kind=QueryKind.LIST),
    )
    body = keys.wire(ANNA).seal(message, [ORCHESTRATOR])
    services: list[OrchestratorService] = []
    ready = threading.Event()

    def serve() -> None:
        service = OrchestratorService(
            name="orchestrator",
            home=LocalHome(home),
            make_transport=lambda sink: RabbitTransport(login, sink),
            wire=keys.wire("orchestrator"),
            clock=SystemClock(),
            version="0",
        )
        services.append(service)
        ready.set()
        service.run()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE_S)
    journal = Journal(home / JOURNAL_NAME)
    try:
        publish(broker, vhost, body, None)
        wait_for(journal, "SELECT count(*) FROM rejected")
        assert journal.rows("SELECT queue, sender, reason FROM rejected") == [
            (topology.orchestrator_inbox(ORCHESTRATOR), "", "no_user_id")
        ]
        assert journal.cell("SELECT count(*) FROM received") == 0
        publish(broker, vhost, body, ANNA)
        wait_for(journal, "SELECT count(*) FROM received")
        assert journal.cell("SELECT count(*) FROM rejected") == 1
        # With the rights of a node: copies to keys beside the one that is seen.
        answer = keys.wire(LYON).seal(
            Message(
                envelope=Envelope(
                    type=PingReply.TYPE,
                    message_id="p-1",
                    sender=LYON,
                    recipient="orchestrator",
                    sent_at=time.time(),
                ),
                body=PingReply(asked_at=1.0),
            ),
            ["orchestrator"],
        )
        desks = (topology.desk(where, ORCHESTRATOR) for where in (NOWHERE, "e-1"))
        own, other = (topology.key(LYON, one, "control") for one in desks)
        for key, headers in ((other, {"BCC": [own]}), (own, {"CC": [other]})):
            way = (topology.REPLIES, key)
            publish(broker, vhost, answer, LYON, user=LYON, way=way, headers=headers)
        wait_for(journal, "SELECT count(*) = 2 FROM rejected WHERE reason = 'carbon_copy'")
        senders = journal.rows("SELECT queue, sender FROM rejected WHERE reason = 'carbon_copy'")
        assert senders == [(topology.orchestrator_inbox(ORCHESTRATOR), LYON)] * 2
        assert journal.cell("SELECT count(*) FROM received") == 1
    finally:
        services[0].loop.stop()
        thread.join()
        journal.close()
        broker.remove_vhost(vhost)


def wait_for(journal: Journal, count: str) -> None:
    """Return once a count is not 0."""
    deadline = time.monotonic() + PATIENCE_S
    while not journal.cell(count):
        assert time.monotonic() < deadline, count
        time.sleep(0.05)
