"""A hub with its real broker: it comes up, comes back, and leaves nothing behind."""

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from fedmq.errors import BrokerUnavailable, ConfigurationError
from fedmq.hub.broker import PrivateBroker
from fedmq.hub.credentials import read_credentials
from fedmq.hub.definitions import SALT_BYTES, User, make_definitions, password_hash
from fedmq.hub.keyring import AUTHORITY
from fedmq.hub.lifecycle import Status, down, external, make, status, up
from fedmq.hub.limits import limits_of
from fedmq.hub.management import Management
from fedmq.hub.members import Hub
from fedmq.hub.membership import Membership
from fedmq.hub.processes import wait_for_end
from fedmq.security.certificates import make_authority
from fedmq.settings import Settings
from fedmq.transport import asking, topology
from fedmq.transport.declarations import Topology
from fedmq.transport.ports import Connected, ConsumerLost, Disconnected
from fedmq.transport.proxy import read_proxy
from fedmq.transport.rabbitmq import Login, RabbitTransport
from fedmq.transport.rabbitmq_stream import read_streams
from fedmq.types import NodeId, Role
from tests.contract.wires import Member
from tests.support.broker import EVERYTHING
from tests.support.connect_proxy import ConnectProxy
from tests.support.members import PROGRAM, enrolled, login_at

pytestmark = [pytest.mark.rabbitmq, pytest.mark.hub_broker, pytest.mark.xdist_group("hub")]

PATIENCE_S = 60.0
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
"""127.0.0.1 and ::1 as the kernel's tables write them."""
OWNER = "owner"
BUILT_IN = {"hub-admin", "monitor", "orchestrator"}


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s"
        time.sleep(0.01)


@contextmanager
def joined(membership: Membership | Login) -> Iterator[Member]:
    """Yield a member whose transport was started, and has told how that went."""
    member = Member()
    login = membership if isinstance(membership, Login) else membership.login(PROGRAM)
    member.transport = RabbitTransport(replace(login, reconnect_s=0.05), member.events.append)
    member.transport.start()
    try:
        until(lambda: bool(member.events))
        yield member
    finally:
        member.transport.close()


def management(folder: Path, name: str = "hub-admin") -> Management:
    """Return a member's client of the management API."""
    known = read_credentials(Hub(folder).credentials_path(name))
    return Management(url=known.admin_url, user=known.user, password=known.password)


@contextmanager
def ended(folder: Path) -> Iterator[Path]:
    """Yield a hub's folder; afterwards its broker is killed, which is quicker than asking it."""
    try:
        yield folder
    finally:
        broker = Hub(folder).broker
        broker.kill()
        broker.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of a hub that is up."""
    with ended(tmp_path_factory.mktemp("hub")) as made:
        up(made)
        yield made


def queue_names(hub: Hub) -> set[str]:
    """Return the queues that ought to stand."""
    return {queue.name for queue in hub.layout().queues}


def test_a_new_hub_has_its_own_members_and_no_others(folder: Path) -> None:
    """RabbitMQ's guest, whose password everybody knows, is not among them."""
    now = status(folder)
    assert now.is_running
    assert {member.name for member in now.members} >= BUILT_IN
    assert management(folder).names("users") == {member.name for member in now.members}


def test_up_a_second_time_is_the_same_broker(folder: Path) -> None:
    """Nothing is started, and nothing told."""
    told: list[str] = []
    before = Hub(folder).broker.running()
    assert before is not None
    assert up(folder, told.append) == status(folder)
    assert Hub(folder).broker.running() == before
    assert told == []


def test_the_broker_listens_on_loopback_only(folder: Path) -> None:
    """All five ports, those of the Erlang distribution and of epmd too."""
    ports = status(folder).ports
    assert ports is not None
    listening: dict[int, set[str]] = {}
    for line in [
        line
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
    ]:
        _, local, _, state = line.split()[:4]
        address, _, port = local.partition(":")
        if state == "0A":
            listening.setdefault(int(port, 16), set()).add(address)
    for name in ports.__slots__:
        assert listening[getattr(ports, name)] <= LOOPBACK, name


def test_members_that_are_added_while_it_runs_log_in_at_once(folder: Path) -> None:
    """Their queues are there; who is connected already does not notice."""
    hub = Hub(folder)
    assert hub.authority.exists
    first = enrolled(folder, "added-first", Role.NODE)
    with joined(first) as one:
        second = enrolled(folder, "added-second", Role.NODE)
        with joined(second) as two:
            for member, name in ((one, "added-first"), (two, "added-second")):
                member.transport.consume(topology.node_tasks(NodeId(name)), prefetch=1)
            admin = management(folder)
            until(lambda: _num_consumers(admin, "fedmq") == 2)
            assert one.events == two.events == [Connected()]


def _num_consumers(management: Management, vhost: str) -> int:
    listed = management.get("consumers", vhost)
    assert isinstance(listed, list)
    return len(listed)


def test_a_member_that_is_removed_is_cut_off(folder: Path) -> None:
    """At once, for good, and its queues go with it."""
    hub = Hub(folder)
    credentials = enrolled(folder, "removed", Role.NODE)
    admin = management(folder)
    with joined(credentials) as member:
        assert member.events == [Connected()]
        hub.remove_member("removed")
        until(lambda: any(event.refused for event in member.of(Disconnected)))
        assert len(member.of(Connected)) == 1
    assert "removed" not in admin.names("users")
    assert admin.names("queues", "fedmq") == queue_names(hub)
    assert asking.join_exchange("removed") not in admin.names("exchanges", "fedmq")
    assert asking.join_exchange("orchestrator") in admin.names("exchanges", "fedmq")


@dataclass(frozen=True)
class Owned:
    """A broker that no hub has made, as its administrator sees it."""

    management: Management
    way: dict[str, str]
    """Its addresses, as an operator sets them."""


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """Return a broker that no hub has made."""
    folder = tmp_path_factory.mktemp("owned")
    with ended(folder):
        private = PrivateBroker(folder / "broker")
        private.ports()  # makes its folder
        hashed = password_hash(OWNER, bytes(SALT_BYTES))
        admin = User(name=OWNER, password_hash=hashed, rights=EVERYTHING, tags=("administrator",))
        empty = Topology(exchanges=(), queues=(), policies=())
        private.definitions.write_text(json.dumps(make_definitions("/", empty, [admin])))
        ports = private.start().ports
        url = f"http://127.0.0.1:{ports.management}"
        yield Owned(
            management=Management(url=url, user=OWNER, password=OWNER),
            way={
                "amqp_url": f"amqp://127.0.0.1:{ports.amqp}/elsewhere",
                "admin_url": url.replace("//", f"//{OWNER}:{OWNER}@"),
            },
        )


def test_an_external_broker_gets_members_and_keeps_its_own_users(
    owned: Owned, tmp_path: Path
) -> None:
    """Also where it is in use already; a member's name that is taken there is refused."""
    there = owned.management
    there.put("users", "taken", content={"password": "theirs", "tags": ""})
    external(tmp_path, **owned.way)
    hub = Hub(tmp_path)
    before = hub.register()
    with pytest.raises(ConfigurationError, match="the broker has a user taken already"):
        hub.add_member("taken", Role.NODE)
    assert hub.register() == before
    with joined(enrolled(tmp_path, "elsewhere", Role.NODE)) as member:
        assert member.events == [Connected()]
        member.transport.consume("node.elsewhere.tasks", prefetch=1)
        until(lambda: _num_consumers(there, "elsewhere") == 1)
        assert not member.of(ConsumerLost)
    (limits,) = cast("list[dict[str, object]]", there.get("user-limits", "elsewhere"))
    assert limits["value"] == limits_of(Role.NODE)
    assert there.get("user-limits", "taken") == [], "nobody else's"
    # A second time, everybody there is the hub's own.
    assert external(tmp_path, **owned.way) == status(tmp_path)
    assert status(tmp_path).is_running
    hub.remove_member("elsewhere")
    assert there.names("users") == {OWNER, "taken", "monitor", "orchestrator"}
    hub.add_member("elsewhere", Role.RESEARCHER)
    for name in ("taken", "monitor", "orchestrator", "elsewhere"):
        there.delete("users", name)
    there.delete("vhosts", "elsewhere")


def test_members_believe_a_broker_by_the_bundle_that_the_hub_was_given(
    owned: Owned, tmp_path: Path
) -> None:
    """One of several authorities vouches; the token brings them; by others nobody gets in."""
    private, other = (make_authority(name, now=time.time()) for name in ("Private CA", "Other CA"))
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(other.certificate + private.certificate)
    authority = Settings(broker_authority=bundle).read_broker_authority()
    name, hub = "broker.example.org", tmp_path / "hub"
    way = owned.way | {"amqp_url": f"amqps://{name}:5671/private"}
    external(hub, **way, authority=authority)
    target = ("127.0.0.1", int(owned.way["amqp_url"].split(":")[2].split("/")[0]))
    # What stands before the broker has its certificate of the private authority.
    with ConnectProxy(targets={name: target}, inspector=private, folder=tmp_path) as door:
        membership = enrolled(hub, "private", Role.NODE)
        login = membership.login(PROGRAM, proxy=read_proxy(door.url))
        with joined(login) as member:
            until(lambda: bool(member.of(Connected)))
        (membership.keyring.folder / AUTHORITY).write_text(other.certificate)
        with joined(membership.login(PROGRAM, proxy=read_proxy(door.url))) as member:
            assert not member.of(Connected)
            assert "issued by 'Private CA', not by 'Other CA'" in member.of(Disconnected)[0].why
    for user in ("monitor", "orchestrator", "private"):
        owned.management.delete("users", user)
    owned.management.delete("vhosts", "private")


@pytest.mark.parametrize("taken", ["monitor", "orchestrator"])
def test_a_user_that_an_external_broker_has_already_stops_up_before_anything_is_made(
    owned: Owned, tmp_path: Path, taken: str
) -> None:
    """The error's own fix, followed, lets it come up."""
    there = owned.management
    there.put("users", taken, content={"password": "theirs", "tags": ""})
    kept = there.password_hashes()
    with pytest.raises(ConfigurationError, match=f"a user {taken} already") as caught:
        external(tmp_path, **owned.way)
    assert f"rabbitmqctl delete_user {taken}" in caught.value.fix
    assert there.password_hashes() == kept
    assert "elsewhere" not in there.names("vhosts")
    assert not status(tmp_path).is_running
    assert status(tmp_path).members == ()
    there.delete("users", taken)
    assert len(external(tmp_path, **owned.way).members) == 2
    for name in ("monitor", "orchestrator"):
        there.delete("users", name)
    there.delete("vhosts", "elsewhere")


def test_what_is_committed_under_infra_can_be_loaded(folder: Path) -> None:
    """RabbitMQ takes the example's definitions as they are."""
    text = (Path(__file__).parents[2] / "infra" / "rabbitmq" / "definitions.json").read_text()
    admin = management(folder)
    admin.post("definitions", content=json.loads(text.replace('"fedmq"', '"infra"')))
    assert {"node.chu-lyon.tasks", "node.ghu-paris.payloads", "dead"} < admin.names(
        "queues", "infra"
    )
    admin.delete("vhosts", "infra")


def a_federation(folder: Path) -> Status:
    """Return the status of a hub with two nodes and a researcher, which is up."""
    Hub(folder).make("trial")
    for name, role in (
        ("chu-lyon", Role.NODE),
        ("ghu-paris", Role.NODE),
        ("r-one", Role.RESEARCHER),
    ):
        enrolled(folder, name, role)
    return up(folder)


def test_a_broker_that_was_killed_comes_back_with_every_queue(tmp_path: Path) -> None:
    """At the same addresses, so that everybody's credentials are still right; all of them work."""
    with ended(tmp_path) as folder:
        before = a_federation(folder)
        running = Hub(folder).broker.running()
        assert running is not None
        running.broker.send(signal.SIGKILL)
        assert wait_for_end(running.broker)
        assert not status(folder).is_running
        assert up(folder) == before
        assert management(folder).names("queues", "fedmq") == queue_names(Hub(folder))
        login = login_at(Hub(folder).credentials_path("monitor"))
        streams = (
            topology.MONITOR_EVENTS,
            topology.MONITOR_DEAD,
            topology.MONITOR_OVERVIEWS,
        )
        read = read_streams(login, dict.fromkeys(streams, "1h"))
        assert all(reading.is_complete for reading in read.values())


def test_a_hub_that_was_down_comes_up_each_time(tmp_path: Path) -> None:
    """What watchers read is bound, though a boot binds no streams; RabbitMQ 4.0 would end there."""
    with ended(tmp_path) as folder:
        before = a_federation(folder)
        for _ in range(2):
            down(folder)
            assert up(folder) == before
            bound = management(folder).get(
                "exchanges", "fedmq", topology.EVENTS, "bindings", "source"
            )
            assert topology.MONITOR_EVENTS in {one["destination"] for one in bound}


def test_an_emptied_broker_comes_back_with_every_member(tmp_path: Path) -> None:
    """Except who was removed meanwhile; and so does one that was not emptied."""
    with ended(tmp_path) as folder:
        hub = Hub(folder)
        a_federation(folder)
        hub.broker.kill()
        hub.remove_member("ghu-paris")
        # Not emptied: its own database still knows the removed one.
        up(folder)
        assert management(folder).names("users") == BUILT_IN | {"chu-lyon", "r-one"}
        assert management(folder).names("queues", "fedmq") == queue_names(hub)
        hub.broker.kill()
        shutil.rmtree(folder / "broker" / "data")
        up(folder)
        assert management(folder).names("users") == BUILT_IN | {"chu-lyon", "r-one"}
        assert management(folder).names("queues", "fedmq") == queue_names(hub)
        with joined(enrolled(folder, "chu-lyon", Role.NODE)) as member:
            assert member.events == [Connected()]


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_a_hub_is_reached_at_the_address_at_which_it_listens(tmp_path: Path, address: str) -> None:
    """One of several that the machine has, of either family; and at no other."""
    with ended(tmp_path) as folder:
        make(folder, hosts=[address], address=address)
        state = up(folder)
        assert state.is_running
        login = enrolled(folder, "chu-lyon", Role.NODE).login(PROGRAM)
        assert login.addresses[0].host == address
        with joined(login) as member:
            assert member.events == [Connected()]
        elsewhere = login.addresses[0]._replace(host="127.0.0.1")
        with joined(replace(login, addresses=(elsewhere,))) as member:
            assert not member.of(Connected)


def test_down_leaves_no_process(tmp_path: Path) -> None:
    """Neither the broker, nor its epmd, nor what they started; a second time is no error."""
    with ended(tmp_path) as folder:
        up(folder)
        running = Hub(folder).broker.running()
        assert running is not None
        assert {running.broker.pid, running.epmd.pid} < _processes_of(folder)
        down(folder)
        # The broker's port programs read to the end of their input, which comes when it has gone.
        until(lambda: not _processes_of(folder))
        assert not status(folder).is_running
        with pytest.raises(BrokerUnavailable, match="does not answer"):
            management(folder).get("overview")
        down(folder)


def _processes_of(folder: Path) -> set[int]:
    """Return the processes that have the folder in their environment, zombies left out."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder / "broker").encode() in entry.read_bytes():
                found.add(int(entry.parent.name))
        except OSError:
            continue
    return found
