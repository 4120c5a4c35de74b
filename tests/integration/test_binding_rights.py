"""What an orchestrator may bind, as the broker enforces it: what is for itself, nothing else."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pika import BlockingConnection
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from fedmq.hub.lifecycle import up
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership, read_membership
from fedmq.hub.orchestrators import add_orchestrator
from fedmq.transport.asking import join_exchange
from fedmq.transport.topology import (
    ANSWERS,
    EVENTS,
    EXCHANGES,
    REPLIES,
    SUBMISSIONS,
    TASKS,
    experiment_queues,
    experiment_replies,
    key,
)
from fedmq.types import ORCHESTRATOR, ExperimentId, Role
from tests.integration.test_hub import ended
from tests.support.members import PROGRAM, connected, enrolled

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("binding")]

LYON, RESEARCHER, OTHER = "chu-lyon", "r-one", "hub-b"
EXPERIMENT = ExperimentId("e-1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a federation of two orchestrators."""
    with ended(tmp_path_factory.mktemp("hub")) as made:
        up(made)
        enrolled(made, LYON, Role.NODE)
        enrolled(made, RESEARCHER, Role.RESEARCHER)
        assert add_orchestrator(Hub(made), OTHER)
        yield made


def credentials(folder: Path, name: str) -> Membership:
    """Return a member of the hub."""
    return read_membership(Hub(folder).credentials_path(name))


@contextmanager
def channel_of(folder: Path, name: str) -> Iterator[BlockingChannel]:
    """Yield a channel of a member, on which the broker says what it took."""
    with connected(credentials(folder, name).login(PROGRAM)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def refused(connection: BlockingConnection, attempt: Callable[[BlockingChannel], object]) -> bool:
    """Return whether the broker refuses what a member tries."""
    channel = connection.channel()
    try:
        attempt(channel)
    except ChannelClosedByBroker as error:
        return "ACCESS_REFUSED" in str(error)
    channel.close()
    return False


@pytest.fixture(scope="module", params=[ORCHESTRATOR, OTHER])
def leader(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Return each orchestrator in turn, with the queues of an experiment that it leads."""
    name = str(request.param)
    queues = experiment_queues(EXPERIMENT, name)
    with channel_of(folder, name) as channel:
        for queue in queues:
            channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    yield name
    with channel_of(folder, name) as channel:
        for queue in queues:
            channel.queue_delete(queue.name)


def neighbour(leader: str) -> str:
    """Return the other one of two orchestrators."""
    return OTHER if leader == ORCHESTRATOR else ORCHESTRATOR


def foreign_keys(leader: str) -> list[str]:
    """Return keys by which an orchestrator would get what is for others."""
    other = neighbour(leader)
    return [
        f"*.e-1@{other}.control",
        f"*.e-1@{other}.bulk",
        f"*.-@{other}.control",
        f"{LYON}.e-1@{other}.control",
        f"{RESEARCHER}.-@{other}.control",
        # Names that begin or end alike.
        f"*.e-1@an-{leader}.control",
        f"*.e-1@{leader}-2.control",
        # Whatever may stand there.
        "#",
        "",
        "*.*.*",
        "*.*.control",
        "*.#",
        "#.control",
        f"*.*.control.#.e-1@{leader}.control",
        f"#.e-1@{leader}.control",
        f"*.e-1@{leader}.#",
    ]


def test_an_orchestrator_binds_its_queues_to_what_is_for_itself(folder: Path, leader: str) -> None:
    """The bindings of its experiments, made and undone; what it is sent arrives there."""
    with channel_of(folder, leader) as channel:
        for queue in experiment_queues(EXPERIMENT, leader):
            for binding in queue.bindings:
                channel.queue_bind(queue.name, binding.exchange, binding.key)
        with channel_of(folder, LYON) as node:
            node.basic_publish(
                REPLIES, key(LYON, f"e-1@{leader}", "control"), b"reply", mandatory=True
            )
        found = channel.queue_declare(experiment_replies(EXPERIMENT, leader), passive=True)
        assert found.method.message_count == 1
        for queue in experiment_queues(EXPERIMENT, leader):
            for binding in queue.bindings:
                channel.queue_unbind(queue.name, binding.exchange, binding.key)


def test_an_orchestrator_binds_no_queue_of_its_own_to_what_is_for_another(
    folder: Path, leader: str
) -> None:
    """It would see the copies, and leave its queue full: then nobody's message is taken."""
    own = experiment_replies(EXPERIMENT, leader)
    with connected(credentials(folder, leader).login(PROGRAM)) as connection:
        taken = [
            (exchange, word)
            for exchange in (REPLIES, SUBMISSIONS, EVENTS)
            for word in foreign_keys(leader)
            if not refused(connection, lambda c, x=exchange, k=word: c.queue_bind(own, x, k))
        ]
    assert not taken


def test_an_orchestrator_leads_to_no_other_exchange_what_is_for_another(
    folder: Path, leader: str
) -> None:
    """Binding exchanges asks for the same rights to keys as binding a queue."""
    with connected(credentials(folder, leader).login(PROGRAM)) as connection:
        taken = [
            (to, exchange, word)
            for to in (TASKS, ANSWERS, EVENTS, join_exchange(leader))
            for exchange in (REPLIES, SUBMISSIONS)
            for word in foreign_keys(leader)
            if not refused(connection, lambda c, t=to, x=exchange, k=word: c.exchange_bind(t, x, k))
        ]
    assert not taken


def test_what_it_is_sent_itself_it_can_lead_to_who_hears_events_and_to_nobody_else(
    folder: Path, leader: str
) -> None:
    """RabbitMQ has no right of its own for binding exchanges: the docs say so.

    Keys of replies have three words and those of tasks and answers two, so nobody is bound to them.
    """
    own = key("*", f"e-none@{leader}", "control")
    assert not arrives(folder, leader)
    with channel_of(folder, leader) as channel:
        for to in (TASKS, ANSWERS):
            channel.exchange_bind(to, REPLIES, own)
        assert not arrives(folder, leader)
        channel.exchange_bind(EVENTS, REPLIES, own)
        assert arrives(folder, leader)
        assert not arrives(folder, neighbour(leader))
        for to in (TASKS, ANSWERS, EVENTS):
            channel.exchange_unbind(to, REPLIES, own)
    assert not arrives(folder, leader)


def test_what_it_throws_away_goes_only_where_it_may_write(folder: Path, leader: str) -> None:
    """A queue's dead letters leave by any key that its maker names: RabbitMQ asks no right to it.

    The sender that the broker vouches for stays, and whoever gets it goes by that one.
    """

    def declares(connection: BlockingConnection, to: str) -> bool:
        name = f"experiment.thrown@{leader}.{to.rpartition('.')[2]}"
        arguments = {"x-dead-letter-exchange": to, "x-dead-letter-routing-key": "-.x.overview"}
        if refused(connection, lambda c: c.queue_declare(name, durable=True, arguments=arguments)):
            return False
        connection.channel().queue_delete(name)
        return True

    exchanges = [one.name for one in EXCHANGES]
    with connected(credentials(folder, leader).login(PROGRAM)) as connection:
        open_to_it = {one for one in exchanges if declares(connection, one)}
    assert open_to_it == {TASKS, ANSWERS, EVENTS}


def arrives(folder: Path, leader: str) -> bool:
    """Return whether a reply to an experiment without queues comes into any queue."""
    with channel_of(folder, LYON) as node:
        try:
            node.basic_publish(
                REPLIES, key(LYON, f"e-none@{leader}", "control"), b"reply", mandatory=True
            )
        except UnroutableError:
            return False
    return True


def test_who_has_a_new_certificate_binds_no_more_than_before(folder: Path, leader: str) -> None:
    """Its login is made anew, to cut off who stole it: the rights to keys must come with it."""
    Hub(folder).replace_certificate(leader)
    own, exchange = experiment_replies(EXPERIMENT, leader), REPLIES
    with connected(credentials(folder, leader).login(PROGRAM)) as connection:
        for word in foreign_keys(leader):
            assert refused(connection, lambda c, k=word: c.queue_bind(own, exchange, k))
        mine = key("*", f"e-1@{leader}", "control")
        assert not refused(connection, lambda c: c.queue_bind(own, exchange, mine))
        assert not refused(connection, lambda c: c.queue_unbind(own, exchange, mine))
