"""Messages that RabbitMQ lets through without saying whose they are: services turn them away."""

import threading
import time
from pathlib import Path

import pika
import pytest

from fedmq.clocks import SystemClock
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.submissions import Query, QueryKind
from fedmq.orchestrator.service import OrchestratorService
from fedmq.transport import topology
from fedmq.transport.home import JOURNAL_NAME, LocalHome
from fedmq.transport.journal import Journal
from fedmq.transport.rabbitmq import RabbitTransport
from fedmq.types import NOWHERE, NodeId, ResearcherId, Role
from tests.support.broker import TestBroker, federation_rights
from tests.support.keys import Keys

pytestmark = pytest.mark.rabbitmq

ANNA = ResearcherId("anna")
PATIENCE_S = 60.0


def publish(broker: TestBroker, vhost: str, body: bytes, user_id: str | None) -> None:
    """Publish as anna, by a program that is not fedmq."""
    login = pika.PlainCredentials(ANNA, broker.password)
    parameters = pika.ConnectionParameters("127.0.0.1", broker.amqp_ports[0], vhost, login)
    connection = pika.BlockingConnection(parameters)
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish(
            topology.SUBMISSIONS,
            topology.key(ANNA, NOWHERE, topology.Lane.CONTROL),
            body,
            pika.BasicProperties(user_id=user_id),
            mandatory=True,
        )
    finally:
        connection.close()


def test_a_message_without_a_user_id_is_turned_away_and_the_same_with_it_is_taken(
    broker: TestBroker, tmp_path: Path
) -> None:
    """AMQP leaves user_id to the publisher: RabbitMQ checks it, and does not ask for it."""
    layout = topology.federation(nodes=[NodeId("chu-lyon")], researchers=[ANNA])
    vhost = broker.make_vhost(layout, federation_rights([], [ANNA]))
    login = broker.login(vhost, "orchestrator")
    home = tmp_path / "orchestrator"
    keys = Keys({ANNA: Role.RESEARCHER, "orchestrator": Role.ORCHESTRATOR})
    message = Message(
        envelope=Envelope(
            type=Query.TYPE,
            message_id="q-1",
            sender=ANNA,
            recipient=NOWHERE,
            sent_at=time.time(),
        ),
        body=Query(kind=QueryKind.LIST),
    )
    body = keys.wire(ANNA).seal(message, [NOWHERE])
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
            (topology.ORCHESTRATOR_INBOX, "", "no_user_id")
        ]
        assert journal.cell("SELECT count(*) FROM received") == 0
        publish(broker, vhost, body, ANNA)
        wait_for(journal, "SELECT count(*) FROM received")
        assert journal.cell("SELECT count(*) FROM rejected") == 1
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
