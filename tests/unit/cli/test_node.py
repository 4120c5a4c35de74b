"""A node's commands: made by its own file, started with it, looked at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.claims import claimed
from fedmq.hub.credentials import Role, read_credentials
from fedmq.node.records import open_records
from fedmq.transport.home import RESERVE_BYTES, LocalHome
from fedmq.transport.inbox import Inbox, TurnedAway
from tests.support.clock import FakeClock
from tests.unit.cli.line import CommandLine

LYON = "chu-lyon"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path]) -> CommandLine:
    """Return the command line of a machine that is a node."""
    path = credentials(LYON, Role.NODE)
    made = fedmq("node", "init", LYON, "--credentials", str(path))
    assert made.code == 0
    assert made.talk.splitlines()[0] == f"this is the node {LYON}; its folder is node"
    assert made.ends_with_next
    return fedmq


def test_a_node_is_not_made_with_the_file_of_another_role(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """Nothing is made; the error says whose file it is."""
    path = credentials("ada", Role.RESEARCHER)
    outcome = fedmq("node", "init", LYON, "--credentials", str(path))
    assert outcome.code == 1
    assert "why: they are of the researcher ada" in outcome.talk
    assert f"fedmq hub add-node {LYON}" in outcome.talk
    assert not (home / "node").exists()


def test_a_node_is_not_started_with_the_file_of_another_role(
    node: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """Somebody put another file in the place of the node's."""
    credentials("ada", Role.RESEARCHER, home / "node" / "credentials.toml")
    outcome = node("node", "start")
    assert (outcome.code, outcome.data) == (1, "")
    assert outcome.talk.splitlines() == [
        "error: the credentials of ada are not a node's",
        "  why: expected: role node; got: role researcher",
        "  fix: ask the hub's operator for the file of your node: fedmq hub add-node NAME",
    ]


def test_a_second_node_in_a_home_is_refused(node: CommandLine, home: Path) -> None:
    """Commands that look go on meanwhile."""
    with claimed(home / "node", "a node"):
        outcome = node("node", "start")
        assert (outcome.code, outcome.data) == (1, "")
        assert f"error: a node runs already in {home / 'node'}" in outcome.talk
        assert node("node", "status").code == 0
        assert node("node", "data", "list").code == 0


def test_a_home_stays_that_of_its_node(
    node: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """Another name is refused; the same one may come again with a new password."""
    path = credentials("ghu-paris", Role.NODE)
    assert (
        "this folder belongs to another node"
        in node("node", "init", "ghu-paris", "--credentials", str(path)).talk
    )
    assert node("node", "init", LYON, "--credentials", str(home / f"{LYON}.toml")).code == 0
    assert read_credentials(home / "node" / "credentials.toml").user == LYON


def test_status_says_what_waits_and_what_was_turned_away(node: CommandLine, home: Path) -> None:
    """For people and for programs."""
    records = open_records(LocalHome(home / "node"))
    for reason in ("too_large", "not_msgpack", "too_large"):
        Inbox(records.journal, FakeClock(lambda: 0.0)).note_rejected(
            TurnedAway(reason=reason, queue="q", kind="k", sender="u", size_bytes=1)
        )
    records.close()
    shown = node("node", "status")
    lines = shown.data.splitlines()
    assert lines.pop(6).startswith("disk free         ")
    assert lines == [
        "datasets          0",
        "plans awaiting    0",
        "tasks waiting     0",
        "tasks held        0",
        "unsent            0",
        "payloads awaited  0",
        "turned away       1 x not_msgpack",
        "turned away       2 x too_large",
    ]
    assert shown.ends_with_next
    document = node("node", "status", "--json").json
    assert document.pop("room")["needed_bytes"] == RESERVE_BYTES
    assert document == {
        "schema_version": 1,
        "datasets": 0,
        "plans_awaiting": 0,
        "tasks_waiting": 0,
        "tasks_held": 0,
        "unsent": 0,
        "payloads_awaited": 0,
        "rejected": {"not_msgpack": 1, "too_large": 2},
    }


@pytest.mark.parametrize(
    "words",
    [
        ("start",),
        ("status", "--json"),
        ("data", "list"),
        ("data", "check", "lung"),
        ("plans", "list", "--json"),
        ("plans", "approve", "petct-survival"),
    ],
)
def test_what_is_no_node_yet_says_how_to_make_it_one(
    words: tuple[str, ...], fedmq: CommandLine, home: Path
) -> None:
    """And nothing is made on the way."""
    outcome = fedmq("node", *words)
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: this machine is no node yet" in outcome.talk
    assert "fix: fedmq node init NAME --credentials FILE" in outcome.talk
    assert not (home / "node").exists()
