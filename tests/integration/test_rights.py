"""Rights as the broker enforces them: each member with the credentials that the hub gave it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import pytest
from pika import BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, NackError

from fedmq.errors import BrokerRefused
from fedmq.hub.lifecycle import up
from fedmq.hub.management import Management
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.hub.register import VHOST
from fedmq.monitor.hindrances import find_hindrances
from fedmq.transport import asking, topology
from fedmq.transport.declarations import exactly
from fedmq.transport.ports import (
    Confirmed,
    Connected,
    ConsumerLost,
    Disconnected,
    Nacked,
    Properties,
    Publication,
    Returned,
)
from fedmq.transport.rabbitmq_stream import read_streams
from fedmq.transport.topology import (
    ANSWERS,
    EVENTS,
    REPLIES,
    SUBMISSIONS,
    TASKS,
    experiment_queues,
    key,
)
from fedmq.types import ORCHESTRATOR, ExperimentId, NodeId, ResearcherId, Role
from tests.contract.wires import Member
from tests.integration.test_hub import ended, joined, management, until
from tests.support.members import PROGRAM, connected, connection, enrolled

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("rights")]

LYON, PARIS, RESEARCHER = "chu-lyon", "ghu-paris", "r-one"
EXPERIMENT = experiment_queues(ExperimentId("e-1"), ORCHESTRATOR)
CLOSED = (ChannelClosedByBroker, ConnectionClosedByBroker)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a federation of two nodes and a researcher."""
    with ended(tmp_path_factory.mktemp("hub")) as made:
        up(made)
        for name, role in ((LYON, Role.NODE), (PARIS, Role.NODE), (RESEARCHER, Role.RESEARCHER)):
            enrolled(made, name, role)
        yield made


def credentials(folder: Path, name: str) -> Membership:
    """Return a member of the hub."""
    return read_membership(Hub(folder).credentials_path(name))


def publish(member: Member, exchange: str, routing_key: str) -> None:
    """Publish, and wait until that has had its end."""
    publication = Publication(
        exchange=exchange, routing_key=routing_key, body=b"body", properties=Properties()
    )
    member.transport.publish(publication, 1)
    until(lambda: len(member.events) > 1)


@pytest.mark.parametrize(
    ("name", "exchange", "routing_key"),
    [
        (LYON, REPLIES, key(LYON, "-@orchestrator", "control")),
        (LYON, EVENTS, key("e-1", LYON, "heartbeat")),
        (RESEARCHER, SUBMISSIONS, key(RESEARCHER, "-@orchestrator", "control")),
        ("orchestrator", TASKS, key(LYON, "control")),
        ("orchestrator", TASKS, key(PARIS, "bulk")),
        ("orchestrator", topology.ANSWERS, key(RESEARCHER, "control")),
        ("orchestrator", EVENTS, key("e-1", "orchestrator", "progress")),
        # Asking the hub for other keys.
        (LYON, asking.join_exchange(LYON), ""),
        (RESEARCHER, asking.join_exchange(RESEARCHER), ""),
        ("orchestrator", asking.join_exchange("orchestrator"), ""),
    ],
)
def test_members_write_what_is_theirs(
    folder: Path, name: str, exchange: str, routing_key: str
) -> None:
    """And it arrives in some queue."""
    with joined(credentials(folder, name)) as member:
        publish(member, exchange, routing_key)
        assert member.events == [Connected(), Confirmed(ticket=1)]


@pytest.mark.parametrize(
    ("name", "exchange", "routing_key"),
    [
        # Under another's name, or one that begins or ends alike.
        (LYON, REPLIES, key(PARIS, "-@orchestrator", "control")),
        (LYON, REPLIES, key("chu-lyon-2", "-@orchestrator", "control")),
        (LYON, EVENTS, key("e-1", PARIS, "heartbeat")),
        (RESEARCHER, SUBMISSIONS, key("r-two", "-@orchestrator", "control")),
        ("orchestrator", EVENTS, key("e-1", LYON, "heartbeat")),
        (LYON, asking.join_exchange(PARIS), ""),
        (RESEARCHER, asking.join_exchange(LYON), ""),
        ("orchestrator", asking.join_exchange(LYON), ""),
        ("monitor", asking.join_exchange(LYON), ""),
        # What another role writes.
        (LYON, TASKS, key(PARIS, "control")),
        (LYON, SUBMISSIONS, key(LYON, "-@orchestrator", "control")),
        (RESEARCHER, TASKS, key(LYON, "control")),
        (RESEARCHER, REPLIES, key(RESEARCHER, "-@orchestrator", "control")),
        (RESEARCHER, EVENTS, key("-", RESEARCHER, "progress")),
        ("orchestrator", REPLIES, key(LYON, "-@orchestrator", "control")),
        ("monitor", EVENTS, key("-", "monitor", "progress")),
        ("monitor", TASKS, key(LYON, "control")),
        # Straight into a queue.
        (LYON, "", "node.ghu-paris.tasks"),
        (RESEARCHER, "", "node.chu-lyon.tasks"),
        ("monitor", "", "orchestrator.orchestrator.inbox"),
        # Into the dead letters, which only the broker writes.
        ("orchestrator", topology.DEAD, "anything"),
    ],
)
def test_members_write_nothing_else(
    folder: Path, name: str, exchange: str, routing_key: str
) -> None:
    """The broker refuses, ends the connection, and has taken nothing."""
    with joined(credentials(folder, name)) as member:
        assert member.events == [Connected()]
        publish(member, exchange, routing_key)
        assert not member.of(Confirmed)
        assert not member.of(Returned)
        assert member.of(Disconnected)[0].refused


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        (LYON, "node.chu-lyon.tasks"),
        (LYON, "node.chu-lyon.payloads"),
        (RESEARCHER, "researcher.r-one.inbox"),
        ("orchestrator", "orchestrator.orchestrator.inbox"),
        ("orchestrator", "orchestrator.orchestrator.events"),
    ],
)
def test_members_read_what_is_theirs(folder: Path, name: str, queue: str) -> None:
    """The broker's own list of consumers has them."""
    with joined(credentials(folder, name)) as member:
        member.transport.consume(queue, prefetch=1)
        admin = management(folder)
        until(lambda: (name, queue) in _readers(admin.get("consumers", "fedmq")))
        assert not member.of(ConsumerLost)


def _readers(consumers: object) -> set[tuple[str, str]]:
    assert isinstance(consumers, list)
    # What the management has not gathered yet is an empty list where a table would be.
    return {
        (consumer["channel_details"]["user"], consumer["queue"]["name"])
        for consumer in consumers
        if consumer["channel_details"]
    }


@pytest.mark.parametrize(
    ("name", "queue"),
    [
        (LYON, "node.ghu-paris.tasks"),
        (LYON, "node.ghu-paris.payloads"),
        (LYON, "orchestrator.orchestrator.inbox"),
        (LYON, "orchestrator.orchestrator.events"),
        (LYON, "dead"),
        (LYON, "monitor.events"),
        (RESEARCHER, "monitor.dead"),
        (RESEARCHER, "node.chu-lyon.tasks"),
        (RESEARCHER, "orchestrator.orchestrator.inbox"),
        ("orchestrator", "node.chu-lyon.tasks"),
        ("orchestrator", "researcher.r-one.inbox"),
        ("monitor", "orchestrator.orchestrator.inbox"),
        ("monitor", "node.chu-lyon.payloads"),
        ("monitor", "dead"),
    ],
)
def test_members_read_nothing_else(folder: Path, name: str, queue: str) -> None:
    """The queue is there; the broker refuses."""
    assert queue in management(folder).names("queues", "fedmq")
    with joined(credentials(folder, name)) as member:
        member.transport.consume(queue, prefetch=1)
        until(lambda: bool(member.of(ConsumerLost)))
        (lost,) = member.of(ConsumerLost)
        assert lost.queue == queue
        assert "ACCESS_REFUSED" in lost.why


@pytest.mark.parametrize("name", [LYON, RESEARCHER, "monitor"])
def test_nobody_but_the_orchestrator_declares(folder: Path, name: str) -> None:
    """Not even a queue of an experiment."""
    with joined(credentials(folder, name)) as member:
        member.transport.declare(EXPERIMENT)
        until(lambda: bool(member.of(ConsumerLost)))
        assert "ACCESS_REFUSED" in member.of(ConsumerLost)[0].why
    assert EXPERIMENT[0].name not in management(folder).names("queues", "fedmq")


def test_the_orchestrator_makes_and_deletes_the_queues_of_its_experiments(folder: Path) -> None:
    """A reply finds its way there; a node's queue it can neither make nor delete."""
    admin, names = management(folder), [queue.name for queue in EXPERIMENT]
    with joined(credentials(folder, "orchestrator")) as member:
        member.transport.declare(EXPERIMENT)
        until(lambda: set(names) < admin.names("queues", "fedmq"))
        with joined(credentials(folder, LYON)) as node:
            publish(node, REPLIES, key(LYON, "e-1@orchestrator", "control"))
            assert node.of(Confirmed)
        member.transport.delete(names)
        until(lambda: not set(names) & admin.names("queues", "fedmq"))
        assert not member.of(ConsumerLost)
        member.transport.declare(topology.node_queues(NodeId("a-third")))
        until(lambda: len(member.of(ConsumerLost)) == 1)
        member.transport.delete(["node.chu-lyon.tasks"])
        until(lambda: len(member.of(ConsumerLost)) == 2)
    assert "node.chu-lyon.tasks" in admin.names("queues", "fedmq")


class Watched:
    """A federation with a message in each queue, and what must be the same after all attempts."""

    def __init__(self, folder: Path) -> None:
        self.monitor = management(folder, "monitor")
        self._admin = management(folder)
        self._folder = folder
        self._opened: dict[str, BlockingConnection] = {}
        self.queues = sorted(self._admin.names("queues", VHOST))
        self.streams = [queue.name for queue in Hub(folder).layout().queues if queue.is_stream]
        self.exchanges = [exchange.name for exchange in topology.EXCHANGES]
        with self.channel("hub-admin") as channel:
            channel.confirm_delivery()
            for queue in self.queues:
                channel.basic_publish("", queue, b"message")
        self._counts, self.bindings = self._count(), self._bindings()

    @contextmanager
    def channel(self, name: str = "monitor") -> Iterator[BlockingChannel]:
        """Yield a channel of a member's connection.

        There is one of each, as long as the broker does not end it: a login has few.
        """
        opened = self._opened.get(name)
        if opened is None or not opened.is_open:
            opened = connection(credentials(self._folder, name).login(PROGRAM))
            self._opened[name] = opened
        channel = opened.channel()
        try:
            yield channel
        finally:
            if channel.is_open:
                channel.close()

    def close(self) -> None:
        """Close what was opened."""
        for opened in self._opened.values():
            if opened.is_open:
                opened.close()

    def refuses(
        self, attempt: Callable[[BlockingChannel], object], why: str, name: str = "monitor"
    ) -> None:
        """The broker ends the channel or the connection with this word."""
        with self.channel(name) as channel, pytest.raises(CLOSED, match=why):
            _answered(attempt, channel)

    def lets_nothing_happen(self, attempt: Callable[[BlockingChannel], object]) -> None:
        """The broker refuses it, as RabbitMQ 3 does, or takes it without an effect, as 4 does."""
        with self.channel() as channel, suppress(*CLOSED):
            _answered(attempt, channel)
        self.require_untouched()

    def refuses_request(self, attempt: Callable[[Management], object]) -> None:
        """The management answers with a refusal."""
        with pytest.raises(BrokerRefused):
            attempt(self.monitor)

    def require_untouched(self) -> None:
        """Every queue and binding is there, and no queue has lost anything."""
        assert sorted(self._admin.names("queues", VHOST)) == self.queues
        assert self._admin.names("exchanges", VHOST) >= set(self.exchanges)
        assert self._bindings() == self.bindings
        counts = self._count()
        # More is no loss: what another test's reader had in hand may come back.
        lost = {name for name, count in self._counts.items() if counts[name] < count}
        assert not lost

    def _count(self) -> dict[str, int]:
        # What a stream holds is read, since its number lags; events of the orchestrator expire.
        login = credentials(self._folder, "hub-admin").login(PROGRAM)
        read = read_streams(login, dict.fromkeys(self.streams, "1h"))
        counts = {name: len(reading.messages) for name, reading in read.items()}
        with self.channel("hub-admin") as channel:
            for name in self.queues:
                if name not in (*self.streams, topology.orchestrator_events(ORCHESTRATOR)):
                    answer = channel.queue_declare(name, passive=True)
                    counts[name] = answer.method.message_count
        return counts

    def _bindings(self) -> list[tuple[str, str, str, str]]:
        found = self._admin.get("bindings", VHOST)
        assert isinstance(found, list)
        keys = ("source", "destination", "destination_type", "properties_key")
        return sorted(tuple(str(one[key]) for key in keys) for one in found)  # type: ignore[misc]


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    """Return a federation that a monitor looks at, and that nothing was done to."""
    made = Watched(folder)
    assert made.streams == [
        topology.MONITOR_EVENTS,
        topology.MONITOR_DEAD,
        topology.MONITOR_OVERVIEWS,
    ]
    try:
        yield made
        made.require_untouched()
    finally:
        made.close()


@pytest.mark.parametrize(
    ("name", "own"),
    [
        (LYON, topology.node_tasks(NodeId(LYON))),
        (RESEARCHER, topology.researcher_inbox(ResearcherId(RESEARCHER))),
    ],
)
def test_a_member_changes_nothing_and_takes_nothing_of_others(
    watched: Watched, name: str, own: str
) -> None:
    """Whatever its own program would never do, with its real certificate."""
    acts: list[Callable[[BlockingChannel], object]] = []
    for queue in (
        topology.node_tasks(NodeId(PARIS)),
        topology.orchestrator_inbox(ORCHESTRATOR),
        "dead",
    ):
        acts += [
            lambda channel, of=queue: channel.queue_purge(of),
            lambda channel, of=queue: channel.queue_delete(of),
            lambda channel, of=queue: channel.basic_get(of),
            lambda channel, of=queue: channel.queue_bind(of, REPLIES, "#"),
            lambda channel, of=queue: channel.queue_unbind(of, TASKS, key(PARIS, "control")),
            partial(_read, queue, auto_ack=False),
            partial(_publish, "", queue),
        ]
    acts += [
        # Its own queue would get what is for others.
        lambda channel: channel.queue_bind(own, TASKS, key(PARIS, "control")),
        lambda channel: channel.queue_bind(own, EVENTS, "#"),
        lambda channel: channel.queue_bind(own, "amq.rabbitmq.trace", "#"),
        lambda channel: channel.queue_unbind(own, TASKS, key(LYON, "control")),
        lambda channel: channel.queue_delete(own),
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.queue_declare("", exclusive=True),
        lambda channel: channel.exchange_declare("mine"),
        lambda channel: channel.exchange_delete(REPLIES),
        lambda channel: channel.exchange_bind(REPLIES, TASKS, "#"),
        lambda channel: channel.exchange_unbind(REPLIES, TASKS, "#"),
        partial(_publish, "amq.topic", key(name, "-@orchestrator", "control")),
        partial(_publish, TASKS, key(PARIS, "control")),
    ]
    for act in acts:
        watched.refuses(act, "ACCESS_REFUSED", name)


def test_the_orchestrator_changes_nothing_but_the_queues_of_its_experiments(
    watched: Watched,
) -> None:
    """It may make and bind those; others' are not its own, nor is what stands for all."""
    acts: list[Callable[[BlockingChannel], object]] = []
    for queue in (
        topology.node_tasks(NodeId(LYON)),
        topology.node_payloads(NodeId(LYON)),
        topology.researcher_inbox(ResearcherId(RESEARCHER)),
        "dead",
    ):
        acts += [
            lambda channel, of=queue: channel.queue_purge(of),
            lambda channel, of=queue: channel.queue_delete(of),
            lambda channel, of=queue: channel.basic_get(of),
            lambda channel, of=queue: channel.queue_bind(of, REPLIES, "#"),
            lambda channel, of=queue: channel.queue_unbind(of, TASKS, key(LYON, "control")),
            partial(_publish, "", queue),
        ]
    inbox = topology.orchestrator_inbox(ORCHESTRATOR)
    acts += [
        lambda channel: channel.queue_delete(inbox),
        lambda channel: channel.queue_bind(inbox, REPLIES, "#"),
        lambda channel: channel.queue_unbind(inbox, REPLIES, "*.-@orchestrator.control"),
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.queue_declare("", exclusive=True),
        lambda channel: channel.exchange_declare("mine"),
        lambda channel: channel.exchange_delete(TASKS),
        lambda channel: channel.exchange_bind(REPLIES, SUBMISSIONS, "#"),
        lambda channel: channel.exchange_bind(TASKS, EVENTS, "#"),
    ]
    for act in acts:
        watched.refuses(act, "ACCESS_REFUSED", "orchestrator")


def test_what_a_member_may_do_is_not_refused(watched: Watched) -> None:
    """The same way of asking, for what is its own: else the refusals above would say nothing."""
    with watched.channel(LYON) as channel:
        channel.basic_qos(prefetch_count=1)
        own = topology.node_tasks(NodeId(LYON))
        method, _, _ = next(channel.consume(own, inactivity_timeout=30.0))
        assert method is not None
        channel.cancel()  # which gives back what is in hand


def test_how_much_waits_for_others_is_no_secret(folder: Path, watched: Watched) -> None:
    """RabbitMQ asks for no right where a queue's numbers are asked for: the docs say so."""
    with watched.channel(LYON) as channel:
        found = channel.queue_declare(topology.node_tasks(NodeId(PARIS)), passive=True)
        assert found.method.message_count >= 1
    with connected(credentials(folder, PARIS).login(PROGRAM)) as connection:
        connection.channel().basic_consume(found.method.queue, lambda *_: None)
        with watched.channel(LYON) as channel:
            found = channel.queue_declare(found.method.queue, passive=True)
            assert found.method.consumer_count == 1


def test_a_queue_takes_so_many_bytes_and_the_others_go_on(folder: Path) -> None:
    """Whoever fills one with large messages gets them back; the limit is a smaller one here.

    Others publish and are read elsewhere; in that queue there is room for them once it was read.
    """
    admin = management(folder)
    with _small(admin, "control", topology.orchestrator_inbox(ORCHESTRATOR)):
        with connected(credentials(folder, LYON).login(PROGRAM)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            assert 4 <= _num_taken(channel, of=64) < 64
            _require_others_go_on(folder)
            with joined(credentials(folder, PARIS)) as paris:
                publish(paris, REPLIES, key(PARIS, "-@orchestrator", "control"))
                assert paris.of(Nacked)
            until(lambda: "bytes, its limit is 1048576" in _why_full(admin))
            _empty(folder, topology.orchestrator_inbox(ORCHESTRATOR))
            assert _num_taken(channel, of=1) == 1
        _empty(folder, topology.orchestrator_inbox(ORCHESTRATOR))


@contextmanager
def _small(admin: Management, name: str, queue: str) -> Iterator[None]:
    """Let a queue take a megabyte at most, and otherwise what its policy says."""
    (usual,) = [one for one in topology.policies() if one.name == name]
    content = {
        "pattern": exactly(queue),
        "definition": usual.definition | {"max-length-bytes": 2**20},
        "priority": 10,
        "apply-to": "queues",
    }
    admin.put("policies", VHOST, "small", content=content)
    try:
        yield
    finally:
        admin.delete("policies", VHOST, "small")


def _require_others_go_on(folder: Path) -> None:
    for name, exchange, routing_key in (
        (PARIS, EVENTS, key("e-1", PARIS, "heartbeat")),
        ("orchestrator", TASKS, key(PARIS, "control")),
        ("orchestrator", TASKS, key(LYON, "bulk")),
        ("orchestrator", ANSWERS, key(RESEARCHER, "control")),
    ):
        with joined(credentials(folder, name)) as member:
            publish(member, exchange, routing_key)
            assert member.of(Confirmed)


def _why_full(admin: Management) -> str:
    """Return what `fedmq status` says of the orchestrator's inbox."""
    found = find_hindrances([], cast("list[dict[str, object]]", admin.get("queues", VHOST)))
    return "".join(
        one.why for one in found if topology.orchestrator_inbox(ORCHESTRATOR) in one.what
    )


def _empty(folder: Path, queue: str) -> None:
    with connected(credentials(folder, "hub-admin").login(PROGRAM)) as connection:
        connection.channel().queue_purge(queue)


def test_every_queue_has_its_limit_in_bytes_at_the_broker(folder: Path) -> None:
    """RabbitMQ leaves out the whole of a policy with a word that it does not know."""
    admin, word = management(folder), "effective_policy_definition"

    def queues() -> list[dict[str, dict[str, int]]]:
        return cast("list[dict[str, dict[str, int]]]", admin.get("queues", VHOST))

    # Of a queue that is a moment old the management knows nothing but its name.
    until(lambda: all(word in queue for queue in queues()))
    found = queues()
    assert found
    for queue in found:
        assert queue[word]["max-length-bytes"] > 0, queue["name"]


def test_events_without_end_push_out_the_oldest_alone(folder: Path) -> None:
    """A sign of life that is old is worth nothing; the next one of another member is there."""
    with _small(management(folder), "events", topology.orchestrator_events(ORCHESTRATOR)):
        with connected(credentials(folder, LYON).login(PROGRAM)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for _ in range(32):
                channel.basic_publish(EVENTS, key("e-1", LYON, "heartbeat"), bytes(2**18))
        with joined(credentials(folder, PARIS)) as paris:
            publish(paris, EVENTS, key("e-1", PARIS, "heartbeat"))
            assert paris.of(Confirmed)
        with connected(credentials(folder, "hub-admin").login(PROGRAM)) as connection:
            channel = connection.channel()
            bodies = []
            while (
                got := channel.basic_get(topology.orchestrator_events(ORCHESTRATOR), auto_ack=True)
            )[0]:
                bodies.append(got[2])
        assert sum(map(len, bodies)) <= 2**20
        assert len(bodies) > 1
        assert bodies[-1] == b"body"


def _num_taken(channel: BlockingChannel, of: int) -> int:
    """Return how many messages of a quarter of a megabyte were taken before one was not."""
    for number in range(of):
        try:
            channel.basic_publish(REPLIES, key(LYON, "-@orchestrator", "control"), bytes(2**18))
        except NackError:
            return number
    return of


def test_a_monitor_publishes_nowhere(watched: Watched) -> None:
    """To no exchange of the federation or of RabbitMQ, and straight into no queue."""
    exchanges = [*watched.exchanges, "amq.topic", "amq.direct", "amq.fanout", "amq.headers"]
    for exchange in exchanges:
        watched.refuses(partial(_publish, exchange, "-.monitor.word"), "ACCESS_REFUSED")
    for queue in watched.queues:
        watched.refuses(partial(_publish, "", queue), "ACCESS_REFUSED")
    message = {"properties": {}, "payload": "x", "payload_encoding": "string"}
    for exchange in [*exchanges, "amq.default"]:
        content = {**message, "routing_key": watched.queues[0]}
        watched.refuses_request(
            lambda api, to=exchange, it=content: api.post(
                "exchanges", VHOST, to, "publish", content=it
            )
        )


def _answered(attempt: Callable[[BlockingChannel], object], channel: BlockingChannel) -> None:
    attempt(channel)
    # The refusal of what has no answer comes with that of the next that has one.
    channel.basic_qos(prefetch_count=1)


def _publish(exchange: str, routing_key: str, channel: BlockingChannel) -> None:
    channel.basic_publish(exchange, routing_key, b"body")


def test_a_monitor_declares_nothing(watched: Watched) -> None:
    """No queue, also none with a name from the broker or for an experiment, and no exchange."""
    for name in ("of-mine", "", EXPERIMENT[0].name, "monitor.more"):
        watched.refuses(lambda channel, name=name: channel.queue_declare(name), "ACCESS_REFUSED")
    watched.refuses(lambda channel: channel.exchange_declare("of-mine"), "ACCESS_REFUSED")
    for kind in ("queues", "exchanges"):
        content = {"durable": True, "type": "direct"}
        watched.refuses_request(
            lambda api, kind=kind, it=content: api.put(kind, VHOST, "of-mine", content=it)
        )


def test_a_monitor_binds_and_unbinds_nothing(watched: Watched) -> None:
    """Neither its own streams to more, nor others' queues to what it may read, nor less."""
    for queue in watched.queues:
        for exchange in watched.exchanges:
            watched.refuses(
                lambda channel, to=queue, of=exchange: channel.queue_bind(to, of, "#"),
                "ACCESS_REFUSED",
            )
    watched.refuses(
        lambda channel: channel.exchange_bind(topology.TASKS, EVENTS, "#"), "ACCESS_REFUSED"
    )
    for source, destination, _, properties_key in watched.bindings:
        if not source:  # every queue's to the default exchange, which nobody can undo
            continue
        watched.refuses(
            lambda channel, to=destination, of=source, key=properties_key: channel.queue_unbind(
                to, of, unquote(key)
            ),
            "ACCESS_REFUSED",
        )
        path = ("bindings", VHOST, "e", source, "q", destination)
        watched.refuses_request(
            lambda api, path=path: api.post(*path, content={"routing_key": "x"})
        )
        watched.refuses_request(lambda api, path=(*path, properties_key): api.delete(*path))


def test_a_monitor_deletes_and_purges_nothing(watched: Watched) -> None:
    """What it may read are streams, and those cannot be emptied by anybody."""
    for queue in watched.queues:
        watched.refuses(lambda channel, name=queue: channel.queue_delete(name), "ACCESS_REFUSED")
        watched.refuses(
            lambda channel, name=queue: channel.queue_purge(name),
            "NOT_IMPLEMENTED" if queue in watched.streams else "ACCESS_REFUSED",
        )
        watched.refuses_request(lambda api, name=queue: api.delete("queues", VHOST, name))
        watched.refuses_request(
            lambda api, name=queue: api.delete("queues", VHOST, name, "contents")
        )
    for exchange in watched.exchanges:
        watched.refuses(
            lambda channel, name=exchange: channel.exchange_delete(name), "ACCESS_REFUSED"
        )
        watched.refuses_request(lambda api, name=exchange: api.delete("exchanges", VHOST, name))


def test_a_monitor_takes_no_message_out_of_any_queue(watched: Watched) -> None:
    """Neither by asking for one, nor by reading, nor by turning one away."""
    for queue in watched.queues:
        why = "NOT_IMPLEMENTED" if queue in watched.streams else "ACCESS_REFUSED"
        watched.refuses(lambda channel, name=queue: channel.basic_get(name, auto_ack=True), why)
        watched.refuses(partial(_read, queue, auto_ack=True), why)
        if queue in watched.streams:
            watched.lets_nothing_happen(partial(_turn_away, queue))
        else:
            watched.refuses(partial(_read, queue, auto_ack=False), why)
        for ackmode in ("ack_requeue_false", "reject_requeue_false", "ack_requeue_true"):
            content = {"count": 1, "ackmode": ackmode, "encoding": "auto"}
            watched.refuses_request(
                lambda api, name=queue, it=content: api.post(
                    "queues", VHOST, name, "get", content=it
                )
            )


def _read(queue: str, channel: BlockingChannel, *, auto_ack: bool) -> None:
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, lambda *_: None, auto_ack=auto_ack)


def _turn_away(stream: str, channel: BlockingChannel) -> None:
    channel.basic_qos(prefetch_count=1)
    offset = {"x-stream-offset": "first"}
    for method, _, _ in channel.consume(stream, arguments=offset, inactivity_timeout=30.0):
        assert method is not None
        channel.basic_reject(method.delivery_tag, requeue=False)
        return


def test_a_monitor_keeps_no_message_from_others(watched: Watched) -> None:
    """One that reads, has all in hand and says nothing is not noticed by the next."""
    for stream in watched.streams:
        with watched.channel() as first, watched.channel() as second:
            bodies = [_bodies(channel, stream) for channel in (first, second)]
            assert bodies[0] == bodies[1]
            assert bodies[0]


def _bodies(channel: BlockingChannel, stream: str) -> bytes:
    """Return what comes first, and leave it unacknowledged; ask to keep others out."""
    channel.basic_qos(prefetch_count=1)
    offset = {"x-stream-offset": "first"}
    found: list[bytes] = []
    channel.basic_consume(
        stream, lambda *came: found.append(came[-1]), exclusive=True, arguments=offset
    )
    deadline = time.monotonic() + 30.0
    while not found:
        assert time.monotonic() < deadline
        channel.connection.process_data_events(time_limit=1.0)
    return found[0]


def test_a_monitor_sees_every_queue_and_steers_nothing(folder: Path, watched: Watched) -> None:
    """By the management's API: users, rights, policies and others' connections are not its own."""
    monitor, everything = management(folder, "monitor"), management(folder)
    assert monitor.names("queues", VHOST) == everything.names("queues", VHOST)
    assert monitor.get("overview")
    policy = {"pattern": ".*", "definition": {"max-length": 1}, "apply-to": "queues"}
    rights = {"configure": ".*", "write": ".*", "read": ".*"}

    def connections() -> set[str]:
        """Lyon's, by their names; one that has ended may be listed for some seconds more."""
        found = cast("list[dict[str, str]]", everything.get("connections"))
        return {one["name"] for one in found if one.get("user") == LYON}

    ended = connections()
    with joined(credentials(folder, LYON)) as member:
        until(lambda: bool(connections() - ended))
        connection, *_ = sorted(connections() - ended)
        for attempt in (
            lambda api: api.delete("connections", connection),
            lambda api: api.put("policies", VHOST, "mine", content=policy),
            lambda api: api.put("operator-policies", VHOST, "mine", content=policy),
            lambda api: api.put("permissions", VHOST, "monitor", content=rights),
            lambda api: api.put(
                "users", "monitor", content={"password": "x", "tags": "administrator"}
            ),
            lambda api: api.delete("users", LYON),
            lambda api: api.delete("vhosts", VHOST),
            lambda api: api.post("definitions", content={"users": []}),
            lambda api: api.get("users"),
        ):
            watched.refuses_request(attempt)
        assert member.events == [Connected()]


@pytest.mark.parametrize("name", [LYON, RESEARCHER, "orchestrator"])
def test_other_members_cannot_use_the_management(folder: Path, name: str) -> None:
    """They have its address from nobody, and their password does not open it."""
    known = credentials(folder, name).credentials
    assert known.admin_url == ""
    client = management(folder)
    with pytest.raises(BrokerRefused):
        type(client)(url=client.url, user=known.user, password=known.password).get("overview")
