"""How many connections a login may have: a stolen one cannot use up the broker."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingConnection
from pika.exceptions import AMQPError

from fedmq.hub.lifecycle import up
from fedmq.hub.limits import MAX_CHANNELS, MAX_CONNECTIONS, limits_of
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership
from fedmq.transport.ports import Connected, Disconnected
from fedmq.transport.rabbitmq_dialogue import parameters
from fedmq.types import Role
from tests.integration.test_hub import ended, joined, management, until
from tests.support.members import PROGRAM, connection, enrolled

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("trust")]

LYON, PARIS, NICE = "chu-lyon", "ghu-paris", "chu-nice"
MOST = limits_of(Role.NODE)[MAX_CONNECTIONS]
CHANNELS = limits_of(Role.NODE)[MAX_CHANNELS]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a hub that is up."""
    with ended(tmp_path_factory.mktemp("hub")) as folder:
        up(folder)
        yield folder


@pytest.fixture(scope="module")
def lyon(hub: Path) -> Membership:
    """Return a node of it."""
    return enrolled(hub, LYON, Role.NODE)


@pytest.fixture
def thief(lyon: Membership) -> Iterator[Callable[[], list[BlockingConnection]]]:
    """Return what opens as many connections as the broker gives who has Lyon's files."""
    made: list[BlockingConnection] = []

    def take() -> list[BlockingConnection]:
        with suppress(AMQPError):
            while len(made) <= 2 * MOST:
                made.append(connection(lyon.login(PROGRAM)))
        return made

    yield take
    for one in made:
        with suppress(AMQPError):
            one.close()


def num_connections(hub: Path) -> int:
    """Return how many connections the broker counts for Lyon."""
    found = management(hub).get("connections")
    assert isinstance(found, list)
    return sum(one.get("user") == LYON for one in found)


def test_a_thief_gets_so_many_connections_and_harms_nobody_else(
    hub: Path, lyon: Membership, thief: Callable[[], list[BlockingConnection]]
) -> None:
    """Those that the member has stay; others connect; it is in again once the thief's are gone."""
    paris = enrolled(hub, PARIS, Role.NODE)
    until(lambda: num_connections(hub) == 0)
    with joined(lyon.login(PROGRAM)) as member, joined(paris.login(PROGRAM)) as other:
        until(lambda: bool(member.of(Connected)) and bool(other.of(Connected)))
        until(lambda: len(thief()) == MOST - 2)  # those of other tests end meanwhile
        with pytest.raises(AMQPError, match=r"(?i)limit"):
            connection(lyon.login(PROGRAM))
        assert not member.of(Disconnected)
        assert not other.of(Disconnected)
        with joined(paris.login(PROGRAM)) as newcomer:
            until(lambda: bool(newcomer.of(Connected)))
    with joined(lyon.login(PROGRAM)) as member:
        for one in thief()[: MOST - 2]:
            one.close()
        until(lambda: bool(member.of(Connected)))


def test_who_left_half_open_connections_is_in_again_by_itself(hub: Path) -> None:
    """All that it may have are taken by lines that broke without a word; heartbeats end them.

    Whoever reads nothing and says nothing looks to the broker as if the line were cut. The node is
    this test's own: the broker counts an ended connection of another test for a moment longer than
    its management shows it.
    """
    login = enrolled(hub, NICE, Role.NODE).login(PROGRAM)
    quick = parameters(login, login.addresses[0])
    quick.heartbeat = 2
    silent = [BlockingConnection(quick) for _ in range(MOST)]
    with joined(login) as member:
        until(lambda: bool(member.of(Connected)))
        refusals = member.of(Disconnected)
        assert refusals, "there was no room at first"
        assert all("as many connections" in one.why and not one.refused for one in refusals)
    for one in silent:
        with suppress(AMQPError):
            one.close()


def test_nor_so_many_channels(lyon: Membership) -> None:
    """One more ends the thief's own connection, or the channel."""
    with ExitStack() as stack:
        mine = stack.enter_context(connection(lyon.login(PROGRAM)))
        for _ in range(CHANNELS):
            mine.channel()
        with pytest.raises(AMQPError, match=r"(?i)limit"):
            mine.channel()


def test_a_hub_from_before_has_them_when_it_comes_up(hub: Path, lyon: Membership) -> None:
    """They are part of what is loaded; nobody is invited anew."""
    assert lyon.credentials.user == LYON
    for name in (MAX_CONNECTIONS, MAX_CHANNELS):
        management(hub).delete("user-limits", LYON, name)
    assert _limits(hub) == {}
    Hub(hub).load()
    assert _limits(hub) == limits_of(Role.NODE)


def _limits(hub: Path) -> dict[str, int]:
    found = management(hub).get("user-limits", LYON)
    assert isinstance(found, list)
    return dict(found[0]["value"]) if found else {}
