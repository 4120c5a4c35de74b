"""The hub's folder while no broker runs."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError
from fedmq.hub.credentials import read_credentials
from fedmq.hub.definitions import password_hash
from fedmq.hub.members import Hub
from fedmq.hub.register import BUILT_IN, ExternalBroker
from fedmq.types import Role

WORD = "s3cret"


def test_the_same_member_again_has_the_same_credentials(tmp_path: Path) -> None:
    """Also for another program with the same folder."""
    Hub(tmp_path).make("trial")
    first = read_credentials(Hub(tmp_path).credentials_path("monitor"))
    Hub(tmp_path).make("trial")
    assert read_credentials(Hub(tmp_path).credentials_path("monitor")) == first
    assert [member.name for member in Hub(tmp_path).members()] == sorted(BUILT_IN)


def test_a_name_has_one_role(tmp_path: Path) -> None:
    """A node does not become a researcher by asking."""
    hub = Hub(tmp_path)
    hub.add_member("chu-lyon", Role.NODE)
    with pytest.raises(ConfigurationError, match="cannot become a researcher"):
        hub.add_member("chu-lyon", Role.RESEARCHER)
    assert [member.role for member in hub.members()] == [Role.NODE]


@pytest.mark.parametrize("name", ["", "Lyon", "chu.lyon", "../x", "a" * 41, "all", "-"])
def test_names_that_are_no_words_of_queue_names_are_refused(tmp_path: Path, name: str) -> None:
    """And nothing is written for them."""
    with pytest.raises(ConfigurationError, match="cannot name a node"):
        Hub(tmp_path / "hub").add_member(name, Role.NODE)
    assert not (tmp_path / "hub").exists()


def test_credentials_hold_addresses_and_what_is_shown_there(tmp_path: Path) -> None:
    """Certificates for the broker; the management's address and a password for its pages."""
    hub = Hub(tmp_path)
    hub.make("trial", ["broker.example.org"])
    orchestrator, monitor = (
        read_credentials(hub.credentials_path(name)) for name in ("orchestrator", "monitor")
    )
    ports = hub.broker.ports()
    assert orchestrator.url == monitor.url == f"amqps://broker.example.org:{ports.amqp}/fedmq"
    assert (orchestrator.admin_url, orchestrator.password) == ("", "")
    assert monitor.admin_url == f"http://127.0.0.1:{ports.management}"
    assert len(monitor.password) >= 32
    for name in BUILT_IN:
        keys = hub.credentials_path(name).with_suffix(".keys")
        assert {"authority.pem", "certificate.pem", "key.pem"} <= {p.name for p in keys.iterdir()}


def test_nothing_in_the_folder_is_for_others_and_no_password_is_in_the_register(
    tmp_path: Path,
) -> None:
    """The register and the definitions hold salted hashes of the password; keys have one reader."""
    folder = tmp_path / "hub"
    hub = Hub(folder)
    hub.make("trial")
    credentials = read_credentials(hub.credentials_path("monitor"))
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in (folder / "members.json", folder / "broker" / "definitions.json"):
        assert credentials.password not in path.read_text()
    for path in folder.rglob("*"):
        if path.is_file() and "lock" not in path.name:
            assert path.stat().st_mode & 0o777 == 0o600, path
    assert all(
        member.password_hash not in repr(member) for member in hub.members() if member.password_hash
    )


def test_the_hash_in_the_definitions_is_that_of_the_password(tmp_path: Path) -> None:
    """Else nobody could log in after a boot."""
    hub = Hub(tmp_path)
    hub.make("trial")
    credentials = read_credentials(hub.credentials_path("monitor"))
    written = json.loads(hub.broker.definitions.read_text())
    assert written == hub.register().definitions(is_booting=True)
    (user,) = [one for one in written["users"] if one["name"] == "monitor"]
    salt = base64.b64decode(user["password_hash"])[:4]
    assert user["password_hash"] == password_hash(credentials.password, salt)


def test_lost_credentials_are_replaced_by_new_ones(tmp_path: Path) -> None:
    """The old password is known to nobody any more, and valid no more."""
    hub = Hub(tmp_path)
    hub.make("trial")
    old, before = read_credentials(hub.credentials_path("monitor")), hub.register().find("monitor")
    hub.credentials_path("monitor").unlink()
    hub.make("trial")
    new, after = read_credentials(hub.credentials_path("monitor")), hub.register().find("monitor")
    assert old.password != new.password
    assert before != after


def test_a_removed_member_is_gone_from_the_folder(tmp_path: Path) -> None:
    """Its credentials, its login and its queues; who never was one is an error."""
    hub = Hub(tmp_path)
    hub.add_member("chu-lyon", Role.NODE)
    hub.add_member("ghu-paris", Role.NODE)
    hub.remove_member("chu-lyon")
    assert not hub.credentials_path("chu-lyon").exists()
    assert "chu-lyon" not in hub.broker.definitions.read_text()
    assert [member.name for member in hub.members()] == ["ghu-paris"]
    with pytest.raises(ConfigurationError, match="no such member"):
        hub.remove_member("chu-lyon")


def test_a_name_of_a_removed_member_is_free_for_another_role(tmp_path: Path) -> None:
    """Its queues are another's."""
    hub = Hub(tmp_path)
    hub.add_member("lyon", Role.NODE)
    hub.remove_member("lyon")
    hub.add_member("lyon", Role.RESEARCHER)
    assert [member.role for member in hub.members()] == [Role.RESEARCHER]


def test_the_hubs_own_members_stay(tmp_path: Path) -> None:
    """Without its admin the hub could not change the broker."""
    hub = Hub(tmp_path)
    hub.make("trial")
    with pytest.raises(ConfigurationError, match="the hub itself needs it"):
        hub.remove_member("hub-admin")


def test_members_that_are_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    """One waits for the other; none is lost."""
    names = [f"node-{number}" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: Hub(tmp_path).add_member(name, Role.NODE), names))
    assert sorted(member.name for member in Hub(tmp_path).members()) == sorted(names)


def test_a_damaged_roster_is_a_clear_error(tmp_path: Path) -> None:
    """It is never taken for an empty one, which would forget every member."""
    for text in ("", "{", '{"members": [{"name": "chu-lyon"}]}', '{"colour": 1}'):
        (tmp_path / "members.json").write_text(text)
        with pytest.raises(ConfigurationError, match=r"register .* is damaged"):
            Hub(tmp_path).members()


def test_a_hub_keeps_to_its_broker(tmp_path: Path) -> None:
    """Its members' credentials hold that broker's address."""
    hub = Hub(tmp_path)
    hub.add_member("chu-lyon", Role.NODE)
    other = ExternalBroker(url="amqp://hub/fedmq", admin_url="http://hub", user="a", password=WORD)
    with pytest.raises(ConfigurationError, match="another broker already"):
        hub.use_external(other, "fedmq")
    assert hub.register().external is None
