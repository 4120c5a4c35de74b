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
from fedmq.hub.register import ExternalBroker
from fedmq.types import Role

WORD = "s3cret"


def test_the_same_member_again_has_the_same_credentials(tmp_path: Path) -> None:
    """Also for another program with the same folder."""
    first = Hub(tmp_path).add_member("chu-lyon", Role.NODE)
    assert Hub(tmp_path).add_member("chu-lyon", Role.NODE) == first
    assert [member.name for member in Hub(tmp_path).members()] == ["chu-lyon"]


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


def test_credentials_hold_addresses_and_a_password_of_their_own(tmp_path: Path) -> None:
    """The management's address goes to those who have a use for it."""
    hub = Hub(tmp_path)
    node, monitor = (
        hub.add_member("chu-lyon", Role.NODE),
        hub.add_member("watch", Role.MONITOR),
    )
    ports = hub.broker.ports()
    assert node.url == monitor.url == f"amqp://127.0.0.1:{ports.amqp}/fedmq"
    assert (node.admin_url, monitor.admin_url) == ("", f"http://127.0.0.1:{ports.management}")
    assert len(node.password) >= 32
    assert node.password != monitor.password
    assert read_credentials(tmp_path / "credentials" / "chu-lyon.toml") == node


def test_nothing_in_the_folder_is_for_others_and_no_password_is_in_the_roster(
    tmp_path: Path,
) -> None:
    """The roster and the definitions hold salted hashes of the password."""
    folder = tmp_path / "hub"
    credentials = Hub(folder).add_member("chu-lyon", Role.NODE)
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in (folder / "members.json", folder / "broker" / "definitions.json"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert credentials.password not in path.read_text()
    (member,) = Hub(folder).members()
    assert member.password_hash not in repr(member)


def test_the_hash_in_the_definitions_is_that_of_the_password(tmp_path: Path) -> None:
    """Else nobody could log in after a boot."""
    hub = Hub(tmp_path)
    credentials = hub.add_member("chu-lyon", Role.NODE)
    written = json.loads(hub.broker.definitions.read_text())
    assert written == hub.register().definitions(is_booting=True)
    (user,) = written["users"]
    salt = base64.b64decode(user["password_hash"])[:4]
    assert user["password_hash"] == password_hash(credentials.password, salt)


def test_lost_credentials_are_replaced_by_new_ones(tmp_path: Path) -> None:
    """The old password is known to nobody any more, and valid no more."""
    hub = Hub(tmp_path)
    old, (before,) = hub.add_member("chu-lyon", Role.NODE), hub.members()
    hub.credentials_path("chu-lyon").unlink()
    new, (after,) = hub.add_member("chu-lyon", Role.NODE), hub.members()
    assert old.password != new.password
    assert before.password_hash != after.password_hash


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
    """With a new password."""
    hub = Hub(tmp_path)
    old = hub.add_member("lyon", Role.NODE)
    hub.remove_member("lyon")
    new = hub.add_member("lyon", Role.RESEARCHER)
    assert new.role is Role.RESEARCHER
    assert new.password != old.password


def test_the_hubs_own_members_stay(tmp_path: Path) -> None:
    """Without its admin the hub could not change the broker."""
    hub = Hub(tmp_path)
    hub.add_member("hub-admin", Role.ADMIN)
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
        with pytest.raises(ConfigurationError, match=r"roster .* is damaged"):
            Hub(tmp_path).members()


def test_a_hub_keeps_to_its_broker(tmp_path: Path) -> None:
    """Its members' credentials hold that broker's address."""
    hub = Hub(tmp_path)
    hub.add_member("chu-lyon", Role.NODE)
    other = ExternalBroker(url="amqp://hub/fedmq", admin_url="http://hub", user="a", password=WORD)
    with pytest.raises(ConfigurationError, match="another broker already"):
        hub.use_external(other, "fedmq")
    assert hub.register().external is None
