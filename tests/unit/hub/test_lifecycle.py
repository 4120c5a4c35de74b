"""Up, down and status, as far as they need no broker."""

from pathlib import Path

import pytest

from fedmq.errors import BrokerUnavailable, ConfigurationError
from fedmq.hub.credentials import Role
from fedmq.hub.lifecycle import down, external, status
from fedmq.hub.members import Hub
from fedmq.hub.ports import choose_ports


def test_the_status_of_a_hub_that_never_was_is_empty_and_makes_nothing(tmp_path: Path) -> None:
    """Asking changes nothing; bringing it down is no error."""
    folder = tmp_path / "hub"
    now = status(folder)
    assert (now.is_running, now.members, now.url, now.ports) == (False, (), "", None)
    assert not folder.exists()
    down(folder)


def test_the_status_of_a_hub_that_is_down_has_its_addresses_and_members(tmp_path: Path) -> None:
    """They are those at which it will be."""
    credentials = Hub(tmp_path).add_member("chu-lyon", Role.NODE)
    now = status(tmp_path)
    assert now.ports == Hub(tmp_path).broker.ports()
    assert not now.is_running
    assert now.url == credentials.url
    assert now.queues_page == f"http://127.0.0.1:{now.ports.management}/#/queues"
    assert [member.name for member in now.members] == ["chu-lyon"]


@pytest.mark.parametrize(
    ("amqp_url", "admin_url"),
    [
        ("http://hub:5672/fedmq", "http://a:b@hub:15672"),
        ("hub:5672", "http://a:b@hub:15672"),
        ("amqp://hub:5672/fedmq", "http://hub:15672"),
        ("amqp://hub:5672/fedmq", "http://a@hub:15672"),
        ("amqp://hub:5672/fedmq", "amqp://a:b@hub:15672"),
    ],
)
def test_addresses_of_an_external_broker_that_cannot_be_used_are_refused(
    tmp_path: Path, amqp_url: str, admin_url: str
) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match="cannot be used"):
        external(tmp_path / "hub", amqp_url=amqp_url, admin_url=admin_url)
    assert not (tmp_path / "hub").exists()


def test_an_external_broker_that_does_not_answer_is_said_and_kept(tmp_path: Path) -> None:
    """The hub knows its broker, and the login is kept apart from the address."""
    port = choose_ports().management
    with pytest.raises(BrokerUnavailable, match=f"does not answer at http://127.0.0.1:{port}"):
        external(
            tmp_path,
            amqp_url="amqp://someone:else@hub.example:5672",
            admin_url=f"http://oper%40tor:p%2Fw@127.0.0.1:{port}/",
        )
    broker = Hub(tmp_path).roster().external
    assert broker is not None
    assert (broker.user, broker.password) == ("oper@tor", "p/w")
    assert (broker.url, broker.admin_url) == (
        "amqp://hub.example:5672/fedmq",
        f"http://127.0.0.1:{port}",
    )
    assert not status(tmp_path).is_running
    with pytest.raises(ConfigurationError, match="cannot stop its broker"):
        down(tmp_path)
