"""A cluster of three broker nodes that are killed, emptied and brought back, with traffic on it."""

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import pytest

from fedmq.hub.broker import PrivateBroker
from fedmq.transport import topology
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    ConsumerLost,
    Delivered,
    Nacked,
    Properties,
    Publication,
    Returned,
    TransportEvent,
)
from fedmq.transport.rabbitmq import Login, RabbitTransport
from fedmq.transport.topology import TASKS, Lane, Profile, key
from fedmq.types import NodeId
from tests.contract.wires import Member
from tests.integration.test_hub import until
from tests.support.broker import TestBroker, admin_at, federation_rights, running_cluster
from tests.support.cluster import Cluster
from tests.support.federation import PARIS, running_federation

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.cluster,
    pytest.mark.timeout(300),
]

LYON: Final = NodeId("chu-lyon")
ORCHESTRATOR: Final = "orchestrator"
NUM_TASKS: Final = 3_000
NUM_BEFORE_THE_KILL: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A federation's vhost on a cluster whose nodes a test may kill."""

    cluster: Cluster
    broker: TestBroker
    vhost: str

    def queue(self, name: str) -> dict[str, Any]:
        """Return what the management of a node that runs says of a queue."""
        running = next(node for node in self.cluster.nodes if node.running())
        management = admin_at(running.ports().management, self.broker.password)
        return cast("dict[str, Any]", management.get("queues", self.vhost, name))

    def leader(self, name: str) -> PrivateBroker:
        """Return the node that leads a quorum queue, or has a classic one, once that is known."""
        until(lambda: "node" in self.queue(name))
        shown = self.queue(name)
        where = shown.get("leader", shown["node"])
        return next(node for node in self.cluster.nodes if node.node_name == where)

    def online(self, name: str) -> set[str]:
        """Return the nodes on which a quorum queue has a replica that takes part."""
        return set(self.queue(name).get("online", ()))

    def others(self, *nodes: PrivateBroker) -> list[PrivateBroker]:
        """Return the nodes but these."""
        return [node for node in self.cluster.nodes if node not in nodes]

    def login(self, user: str, nodes: Sequence[PrivateBroker]) -> Login:
        """Return the login of a user who tries these nodes in turn."""
        return self.broker.login(self.vhost, user, *(node.ports().amqp for node in nodes))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, TestBroker]]:
    """Return a cluster of this module's own."""
    folder = tmp_path_factory.mktemp("cluster") / "nodes"
    try:
        yield running_cluster(folder, secrets.token_hex(16))
    finally:
        Cluster(folder).stop()


@contextmanager
def made(running: tuple[Cluster, TestBroker], profile: Profile) -> Iterator[Place]:
    """Yield a vhost with a node and an orchestrator; all broker nodes are back afterwards."""
    cluster, broker = running
    layout = topology.federation(nodes=[LYON], researchers=[], profile=profile)
    vhost = broker.make_vhost(layout, federation_rights([LYON], []))
    try:
        yield Place(cluster=cluster, broker=broker, vhost=vhost)
    finally:
        for node in cluster.nodes:
            if not node.running():
                node.start()
        broker.remove_vhost(vhost)


@pytest.fixture
def place(running: tuple[Cluster, TestBroker]) -> Iterator[Place]:
    """Return a vhost in which bulk queues are replicated too."""
    with made(running, Profile.CLUSTER) as place:
        yield place


class Sender:
    """Publishes again what was void or refused, as an outbox does."""

    def __init__(self, login: Login) -> None:
        self.connections = 0
        self.num_refused = 0
        self._refused: list[int] = []
        self._lock = threading.Lock()
        self._unconfirmed: dict[int, Publication] = {}
        self.transport = RabbitTransport(replace(login, reconnect_s=0.2), self._take)
        self.transport.start()

    @property
    def num_unconfirmed(self) -> int:
        """How many the broker has not taken yet."""
        return len(self._unconfirmed)

    def has_sent_all(self) -> bool:
        """Return whether the broker has taken all, after another try for what it refused."""
        with self._lock:
            for ticket in self._refused:
                self.transport.publish(self._unconfirmed[ticket], ticket)
            self._refused.clear()
            return not self._unconfirmed

    def publish(self, bodies: Sequence[bytes], lane: Lane = Lane.CONTROL) -> None:
        """Hand over a message for Lyon of each body, which is its number too."""
        for body in bodies:
            ticket = int(body)
            publication = Publication(
                exchange=TASKS, routing_key=key(LYON, lane), body=body, properties=Properties()
            )
            with self._lock:
                self._unconfirmed[ticket] = publication
                self.transport.publish(publication, ticket)

    def _take(self, event: TransportEvent) -> None:
        with self._lock:
            if isinstance(event, Connected):
                self.connections += 1
                self._refused.clear()
                for ticket, publication in self._unconfirmed.items():
                    self.transport.publish(publication, ticket)
            elif isinstance(event, Confirmed):
                self._unconfirmed.pop(event.ticket, None)
            elif isinstance(event, Nacked | Returned):
                self.num_refused += 1
                self._refused.append(event.ticket)


class Reader(Member):
    """A node that acknowledges whatever it is handed."""

    def __init__(self, login: Login, queue: str) -> None:
        super().__init__()
        self.seen: set[int] = set()
        self.transport = RabbitTransport(replace(login, reconnect_s=0.2), self._take)
        self.transport.consume(queue, prefetch=20)
        self.transport.start()

    def _take(self, event: TransportEvent) -> None:
        self.events.append(event)
        if isinstance(event, Delivered):
            self.seen.add(int(event.delivery.body))
            self.transport.acknowledge(event.delivery)


@contextmanager
def sending(login: Login) -> Iterator[Sender]:
    """Yield a sender that is connected."""
    sender = Sender(login)
    try:
        until(lambda: sender.connections == 1)
        yield sender
    finally:
        sender.transport.close()


@contextmanager
def reading(login: Login, queue: str) -> Iterator[Reader]:
    """Yield a reader, connected or not yet."""
    reader = Reader(login, queue)
    try:
        yield reader
    finally:
        reader.transport.close()


def numbers(first: int, last: int) -> list[bytes]:
    """Return a body for each number, the last one left out."""
    return [str(number).encode() for number in range(first, last)]


@pytest.mark.parametrize("at_the_leader", [True, False], ids=["at the leader", "elsewhere"])
def test_a_leader_killed_in_the_middle_of_traffic_loses_no_task(
    place: Place, *, at_the_leader: bool
) -> None:
    """Whether or not its readers and writers were connected there; then it comes back."""
    tasks = topology.node_tasks(LYON)
    leader = place.leader(tasks)
    rest = place.others(leader)
    nodes = [leader, *rest] if at_the_leader else rest
    with (
        sending(place.login(ORCHESTRATOR, nodes)) as sender,
        reading(place.login(LYON, nodes), tasks) as reader,
    ):
        sender.publish(numbers(0, NUM_TASKS))
        until(lambda: len(reader.seen) >= NUM_BEFORE_THE_KILL)
        leader.kill()
        assert len(reader.seen) < NUM_TASKS, "all was over before the kill"
        until(sender.has_sent_all)
        until(lambda: len(reader.seen) == NUM_TASKS)
        assert (sender.connections > 1) is at_the_leader
        until(lambda: place.leader(tasks) is not leader)
        leader.start()
        until(lambda: place.online(tasks) == {node.node_name for node in place.cluster.nodes})
        until(lambda: place.queue(tasks).get("messages") == 0)


def test_a_replica_that_lost_its_disk_is_replaced_and_counts_again(place: Place) -> None:
    """Two of three go on without it; then it makes a majority with one that was there before."""
    tasks = topology.node_tasks(LYON)
    leader = place.leader(tasks)
    lost, third = place.others(leader)
    with sending(place.login(ORCHESTRATOR, [third, leader])) as sender:
        sender.publish(numbers(0, 50))
        until(sender.has_sent_all)
        lost.kill()
        sender.publish(numbers(50, 100))
        until(sender.has_sent_all)
        place.cluster.replace(lost)
        until(lambda: place.online(tasks) == {node.node_name for node in place.cluster.nodes})
        leader.kill()
        sender.publish(numbers(100, 150))
        until(sender.has_sent_all)
        with reading(place.login(LYON, [lost]), tasks) as reader:
            until(lambda: len(reader.seen) == 150)


def test_replicated_chunks_are_within_reach_while_their_leader_is_down(place: Place) -> None:
    """What was there before is read, what comes meanwhile is taken."""
    chunks = topology.node_payloads(LYON)
    leader = place.leader(chunks)
    rest = place.others(leader)
    with sending(place.login(ORCHESTRATOR, rest)) as sender:
        sender.publish(numbers(0, 20), Lane.BULK)
        until(sender.has_sent_all)
        leader.kill()
        sender.publish(numbers(20, 40), Lane.BULK)
        until(sender.has_sent_all)
        with reading(place.login(LYON, rest), chunks) as reader:
            until(lambda: len(reader.seen) == 40)
            assert not reader.of(ConsumerLost)
        assert not sender.num_refused


def test_classic_chunks_are_out_of_reach_while_their_node_is_down_and_then_back(
    running: tuple[Cluster, TestBroker],
) -> None:
    """The sender is told at once, the reader too; nobody has to declare or connect anew."""
    chunks = topology.node_payloads(LYON)
    with made(running, Profile.SINGLE) as place:
        home = place.leader(chunks)
        rest = place.others(home)
        with sending(place.login(ORCHESTRATOR, rest)) as sender:
            sender.publish(numbers(0, 20), Lane.BULK)
            until(sender.has_sent_all)
            home.kill()
            sender.publish(numbers(20, 21), Lane.BULK)
            until(lambda: sender.num_refused > 0)
            assert sender.num_unconfirmed == 1
            with reading(place.login(LYON, rest), chunks) as reader:
                until(lambda: bool(reader.of(ConsumerLost)))
                assert not reader.seen
                home.start()
                until(lambda: len(reader.seen) == 20)
                until(sender.has_sent_all)
                until(lambda: len(reader.seen) == 21)
                assert len(reader.of(Connected)) == sender.connections == 1


def test_an_experiment_goes_on_when_the_broker_node_of_all_is_killed_in_a_round(
    running: tuple[Cluster, TestBroker], tmp_path: Path
) -> None:
    """It need not come back, chunks have replicas; models are those of an undisturbed run."""
    cluster, broker = running
    first, *_ = cluster.nodes
    with running_federation(tmp_path / "f", broker) as federation:
        undisturbed = federation.submit(federation.write_experiment())
        federation.approve(LYON, PARIS)
        expected = federation.digests(undisturbed)
        federation.hold(LYON, 2)
        held = federation.submit(federation.write_experiment(config=federation.hold_config))
        federation.reached(LYON, 2)
        first.kill()
        federation.release()
        assert federation.digests(held) == expected
        first.start()
