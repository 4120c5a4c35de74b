"""The hub's commands, as far as they need no broker."""

from pathlib import Path

import pytest

from fedmq.hub.members import Hub
from fedmq.types import Role
from tests.unit.cli.line import CommandLine


def test_a_hub_that_never_was_is_down(fedmq: CommandLine) -> None:
    """The next command is the one that makes it."""
    shown = fedmq("hub", "status")
    assert (shown.code, shown.data) == (0, "hub      down\n")
    assert shown.talk == "next: fedmq hub up\n"
    assert fedmq("hub", "status", "--json").json == {
        "schema_version": 1,
        "running": False,
        "url": "",
        "admin_url": "",
        "members": {},
    }


def test_members_are_added_shown_and_removed(fedmq: CommandLine, home: Path) -> None:
    """The file is the data, typed from here; no password is in what is shown."""
    added = fedmq("hub", "add-node", "chu-lyon")
    assert added.data == "hub/credentials/chu-lyon.toml\n"
    assert (home / added.data.strip()).exists()
    assert added.talk.splitlines()[-1].endswith("fedmq node init chu-lyon --credentials FILE")
    assert fedmq("hub", "add-researcher", "ada").ends_with_next
    lines = fedmq("hub", "status").data.splitlines()
    assert lines[-3:] == ["member    role", "ada       researcher", "chu-lyon  node"]
    shown = fedmq("hub", "status", "--json")
    assert shown.json["members"] == {"ada": "researcher", "chu-lyon": "node"}
    assert "password" not in shown.data
    assert all(one.password_hash not in shown.data for one in Hub(home / "hub").roster().members)
    removed = fedmq("hub", "remove", "ada")
    assert (removed.code, removed.ends_with_next) == (0, True)
    assert fedmq("hub", "status", "--json").json["members"] == {"chu-lyon": "node"}


def test_a_name_that_cannot_be_one_is_an_error(fedmq: CommandLine, home: Path) -> None:
    """It says what names may be."""
    outcome = fedmq("hub", "add-node", "CHU.Lyon")
    assert (outcome.code, outcome.data) == (1, "")
    assert "1 to 40 of a-z, 0-9 and -" in outcome.talk
    assert Hub(home / "hub").roster().find("CHU.Lyon") is None


def test_the_hub_goes_down_twice_without_an_error(fedmq: CommandLine, home: Path) -> None:
    """What is down stays down."""
    Hub(home / "hub").add_member("chu-lyon", Role.NODE)
    for _ in range(2):
        outcome = fedmq("hub", "down")
        assert (outcome.code, outcome.talk) == (0, "the hub is down\nnext: fedmq hub up\n")


def test_nobody_is_added_to_a_hub_that_is_not_up_on_the_broker_that_is_named(
    fedmq: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be a member at a private broker, and `up` would be refused from then on."""
    monkeypatch.setenv("FEDMQ_BROKER_URL", "amqp://127.0.0.1:1/fedmq")
    monkeypatch.setenv("FEDMQ_BROKER_ADMIN_URL", "http://a:b@127.0.0.1:1")
    for command in ("add-node", "add-researcher"):
        outcome = fedmq("hub", command, "chu-lyon")
        assert (outcome.code, outcome.data) == (1, "")
        assert outcome.talk.splitlines() == [
            "error: the hub cannot add chu-lyon yet",
            "  why: it is not up on the broker that FEDMQ_BROKER_URL names",
            "  fix: fedmq hub up",
        ]
    assert Hub(home / "hub").members() == ()
    assert fedmq("hub", "status").data == "hub      down\n"
