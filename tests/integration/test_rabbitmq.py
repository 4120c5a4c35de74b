"""The transport when RabbitMQ itself has a bad day: wrong passwords, kills, alarms."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.hub.keyring import Keyring
from fedmq.hub.lifecycle import up
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership
from fedmq.hub.processes import wait_for_end
from fedmq.security.certificates import certify
from fedmq.transport.ports import (
    Blocked,
    Confirmed,
    Connected,
    Delivered,
    Disconnected,
    Properties,
    Publication,
)
from fedmq.transport.rabbitmq import RabbitTransport
from fedmq.transport.rabbitmq_tls import Tls
from fedmq.transport.topology import TASKS, experiment_queues
from fedmq.types import ORCHESTRATOR, ExperimentId, Role
from tests.contract.wires import Member
from tests.integration.test_hub import ended, joined, until
from tests.support.cluster import control
from tests.support.members import PROGRAM, enrolled

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("rabbitmq")]

TASK = Publication(
    exchange=TASKS, routing_key="chu-lyon.control", body=b"task", properties=Properties()
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a hub with one node, which is up."""
    with ended(tmp_path_factory.mktemp("hub")) as made:
        up(made)
        enrolled(made, "chu-lyon", Role.NODE)
        yield made


def of(folder: Path, name: str, role: Role) -> Membership:
    """Return a member, enrolled if it is not yet; the orchestrator is from the beginning."""
    Hub(folder).make("trial")
    return enrolled(folder, name, role)


@pytest.mark.parametrize(
    "change",
    [{"user": "nobody"}, {"vhost": "nowhere"}],
    ids=["user", "vhost"],
)
def test_a_login_that_the_broker_refuses_is_told_and_tried_again(
    folder: Path, change: dict[str, str]
) -> None:
    """An operator may mend it at the broker; the address is not in what is told."""
    login = of(folder, "chu-lyon", Role.NODE).login(PROGRAM)
    if "user" in change:  # one for whom the authority vouches, and whom the broker does not know
        login = replace(login, tls=_certificate_of(folder, change["user"]))
    with joined(replace(login, **change)) as member:  # type: ignore[arg-type] - words
        until(lambda: len(member.events) >= 3)
        assert all(event.refused for event in member.of(Disconnected)), member.events
        assert not member.of(Connected)


def _certificate_of(folder: Path, name: str) -> Tls:
    """Return what the hub's authority would give somebody."""
    authority = Hub(folder).authority.certificates()
    pair = certify(authority, name, now=time.time())
    keyring = Keyring(folder / "strangers" / name)
    keyring.write_certificate(
        authority=authority.certificate, certificate=pair.certificate, key=pair.key
    )
    return Tls(
        authority=keyring.folder / "authority.pem",
        certificate=keyring.folder / "certificate.pem",
        key=keyring.folder / "key.pem",
    )


def test_what_is_declared_before_the_start_is_there_when_connected(folder: Path) -> None:
    """An orchestrator that comes back with an experiment under way declares before it connects."""
    known = of(folder, "orchestrator", Role.ORCHESTRATOR)
    queues = experiment_queues(ExperimentId("e-early"), ORCHESTRATOR)
    member = Member()
    login = known.login(PROGRAM)
    member.transport = RabbitTransport(replace(login, reconnect_s=0.05), member.events.append)
    member.transport.declare(queues)
    member.transport.consume(queues[0].name, prefetch=1)
    member.transport.start()
    try:
        until(lambda: bool(member.events))
        assert member.events == [Connected()]
    finally:
        member.transport.close()


def test_a_broker_that_is_down_is_no_refusal(tmp_path: Path) -> None:
    """Nobody answers; that is another matter for whoever reads it."""
    with joined(of(tmp_path, "chu-lyon", Role.NODE)) as member:
        until(lambda: len(member.events) >= 3)
        assert [event.refused for event in member.of(Disconnected)[:3]] == [False] * 3


def test_a_broker_that_was_killed_is_found_again_with_what_it_had_confirmed(
    tmp_path: Path,
) -> None:
    """A task that waited is delivered by the broker's next life; nobody has to log in anew."""
    with ended(tmp_path):
        node = of(tmp_path, "chu-lyon", Role.NODE)
        up(tmp_path)
        until(lambda: b"node.chu-lyon.tasks" in _names_on_disk(tmp_path))
        with joined(of(tmp_path, "orchestrator", Role.ORCHESTRATOR)) as orchestrator:
            orchestrator.transport.publish(TASK, 1)
            until(lambda: bool(orchestrator.of(Confirmed)))
            _kill_and_start(tmp_path, orchestrator)
            with joined(node) as member:
                member.transport.consume("node.chu-lyon.tasks", prefetch=1)
                until(lambda: member.bodies == [TASK.body])


def test_a_queue_that_was_made_just_before_the_kill_works_afterwards(tmp_path: Path) -> None:
    """RabbitMQ 3.10 may lose what is in it, but a message that is sent again arrives."""
    with ended(tmp_path):
        up(tmp_path)
        node = of(tmp_path, "chu-lyon", Role.NODE)
        with joined(of(tmp_path, "orchestrator", Role.ORCHESTRATOR)) as orchestrator:
            _kill_and_start(tmp_path, orchestrator)
            orchestrator.transport.publish(TASK, 2)
            with joined(node) as member:
                member.transport.consume("node.chu-lyon.tasks", prefetch=1)
                until(lambda: member.bodies == [TASK.body])
                until(lambda: bool(orchestrator.of(Confirmed)))


def _kill_and_start(folder: Path, member: Member) -> None:
    """Kill the broker of a connected member and start it again; the member finds it."""
    broker = Hub(folder).broker
    running = broker.running()
    assert running is not None
    running.broker.send(signal.SIGKILL)
    assert wait_for_end(running.broker)
    until(lambda: bool(member.of(Disconnected)))
    assert not member.of(Disconnected)[0].refused
    broker.start()
    until(lambda: len(member.of(Connected)) == 2)


def _names_on_disk(folder: Path) -> bytes:
    """Return RabbitMQ's file of the names of quorum queues, which it writes with a delay."""
    (names,) = (folder / "broker" / "data").glob("*/quorum/*/names.dets")
    return names.read_bytes()


def test_under_a_memory_alarm_publishing_waits_and_reading_goes_on(folder: Path) -> None:
    """Blocked, and once there is room: unblocked, and confirmed."""
    with (
        joined(of(folder, "orchestrator", Role.ORCHESTRATOR)) as orchestrator,
        joined(of(folder, "chu-lyon", Role.NODE)) as node,
    ):
        orchestrator.transport.publish(TASK, 1)
        until(lambda: bool(orchestrator.of(Confirmed)))
        control(Hub(folder).broker, "set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            orchestrator.transport.publish(TASK, 2)
            until(lambda: bool(orchestrator.of(Blocked)))
            node.transport.consume("node.chu-lyon.tasks", prefetch=1)
            until(lambda: bool(node.of(Delivered)))
            assert orchestrator.of(Confirmed) == [Confirmed(ticket=1)]
        finally:
            control(Hub(folder).broker, "set_vm_memory_high_watermark", "0.4")
        until(lambda: len(orchestrator.of(Confirmed)) == 2)
        first, last = orchestrator.of(Blocked)
        assert (first.blocked, last.blocked) == (True, False)
        assert first.why
        assert not orchestrator.of(Disconnected)
        node.transport.acknowledge(node.deliveries[0])
        until(lambda: len(node.bodies) == 2)
        assert not node.of(Blocked)
