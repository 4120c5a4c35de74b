"""Up, down and status, as far as they need no broker."""

from pathlib import Path

import pytest

from fedmq.errors import BrokerUnavailable, ConfigurationError
from fedmq.hub.lifecycle import down, external, status, up
from fedmq.hub.members import Hub
from fedmq.hub.ports import choose_ports
from fedmq.hub.register import Register
from fedmq.types import Role
from tests.unit.hub.external import a_broker


def test_the_status_of_a_hub_that_never_was_is_empty_and_makes_nothing(tmp_path: Path) -> None:
    """Asking changes nothing; bringing it down is no error."""
    folder = tmp_path / "hub"
    now = status(folder)
    assert (now.is_running, now.members, now.url, now.ports) == (False, (), "", None)
    assert not folder.exists()
    down(folder)


def test_the_status_of_a_hub_that_is_down_has_its_addresses_and_members(tmp_path: Path) -> None:
    """They are those at which it will be."""
    Hub(tmp_path).make("trial")
    Hub(tmp_path).add_member("chu-lyon", Role.NODE)
    now = status(tmp_path)
    assert now.ports == Hub(tmp_path).broker.ports()
    assert not now.is_running
    assert now.url == f"amqps://127.0.0.1:{now.ports.amqp}/fedmq"
    assert now.queues_page == f"http://127.0.0.1:{now.ports.management}/#/queues"
    names = ["chu-lyon", "hub-admin", "monitor", "orchestrator"]
    assert [member.name for member in now.members] == names


@pytest.mark.parametrize(
    ("amqp_url", "admin_url"),
    [
        ("http://hub:5672/fedmq", "http://a:b@hub:15672"),
        ("hub:5672", "http://a:b@hub:15672"),
        ("amqps://hub:5671/fedmq", "http://hub:15672"),
        ("amqps://hub:5671/fedmq", "http://a@hub:15672"),
        ("amqps://hub:5671/fedmq", "amqp://a:b@hub:15672"),
        ("amqp://hub:5672/fedmq", "http://a:b@hub:15672"),
    ],
)
def test_addresses_of_an_external_broker_that_cannot_be_used_are_refused(
    tmp_path: Path, amqp_url: str, admin_url: str
) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match="cannot be used"):
        external(tmp_path / "hub", amqp_url=amqp_url, admin_url=admin_url)
    assert not (tmp_path / "hub").exists()


def test_an_external_broker_that_does_not_answer_is_said(tmp_path: Path) -> None:
    """The hub is not on it yet: nobody has looked whose its users are."""
    port = choose_ports().management
    with pytest.raises(BrokerUnavailable, match=f"does not answer at http://127.0.0.1:{port}"):
        external(
            tmp_path,
            amqp_url="amqps://hub.example:5672",
            admin_url=f"http://oper%40tor:p%2Fw@127.0.0.1:{port}/",
        )
    assert Hub(tmp_path).register() == Register()


def test_the_login_at_an_external_broker_is_kept_apart_from_its_address(tmp_path: Path) -> None:
    """Members get the address; the hub does not stop what it did not start."""
    with a_broker({}) as (address, _):
        external(
            tmp_path,
            amqp_url="amqps://someone:else@hub.example:5671",
            admin_url=f"http://oper%40tor:p%2Fw@{address}/",
        )
        assert status(tmp_path).is_running
    broker = Hub(tmp_path).register().external
    assert broker is not None
    assert (broker.user, broker.password) == ("oper@tor", "p/w")
    assert (broker.url, broker.admin_url) == (
        "amqps://hub.example:5671/fedmq",
        f"http://{address}",
    )
    assert not status(tmp_path).is_running
    with pytest.raises(ConfigurationError, match="cannot stop its broker"):
        down(tmp_path)


@pytest.mark.parametrize("taken", [{"monitor"}, {"orchestrator"}, {"monitor", "orchestrator"}])
def test_a_name_that_is_taken_at_an_external_broker_is_found_before_anything_is_written(
    tmp_path: Path, taken: set[str]
) -> None:
    """Neither here nor there: half a hub would look like one that is up."""
    hashes = dict.fromkeys({*taken, "somebody"}, "another's")
    with (
        a_broker(hashes) as (address, changes),
        pytest.raises(ConfigurationError, match="already") as caught,
    ):
        external(tmp_path, amqp_url="amqps://hub.example", admin_url=f"http://a:b@{address}")
    for name in taken:
        assert f"a user {name}" in caught.value.what
        assert f"rabbitmqctl delete_user {name}" in caught.value.fix
    assert "somebody" not in str(caught.value)
    assert changes == []
    assert Hub(tmp_path).register() == Register()


def test_a_member_whose_name_somebody_took_meanwhile_is_found_at_up(tmp_path: Path) -> None:
    """As on a broker that was emptied; whom the hub has made is its own."""
    hashes: dict[str, str] = {}
    with a_broker(hashes) as (address, changes):
        way = {"amqp_url": "amqps://hub.example", "admin_url": f"http://a:b@{address}"}
        external(tmp_path, **way)
        Hub(tmp_path).add_member("chu-lyon", Role.NODE)
        hashes.update({one.name: one.password_hash for one in Hub(tmp_path).members()})
        assert len(external(tmp_path, **way).members) == 3
        hashes["chu-lyon"] = "another's"
        changes.clear()
        with pytest.raises(ConfigurationError, match="has a user chu-lyon already"):
            external(tmp_path, **way)
        with pytest.raises(ConfigurationError, match="has a user chu-lyon already"):
            up(tmp_path)
        assert changes == []
        del hashes["chu-lyon"]
        assert len(up(tmp_path).members) == 3
