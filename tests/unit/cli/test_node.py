"""A node's commands: made by its own file, started with it, looked at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.audit.facts import HeadObjected
from fedmq.claims import claimed
from fedmq.hub.keyring import Keyring
from fedmq.messages.heads import SignedHead
from fedmq.node.audit_facts import NodeStarted
from fedmq.node.records import open_records
from fedmq.transport.counters import Counters
from fedmq.transport.home import RESERVE_BYTES, LocalHome
from fedmq.transport.inbox import Inbox, TurnedAway
from fedmq.types import Role
from tests.support.clock import FakeClock
from tests.unit.cli.line import CommandLine

LYON = "chu-lyon"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a machine that is a node."""
    credentials(LYON, Role.NODE, home / "node" / "credentials.toml")
    open_records(LocalHome(home / "node")).close()
    return fedmq


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
        "  fix: join as a node: fedmq node join TOKEN",
    ]


def test_a_node_that_cannot_contain_plans_is_not_started(
    node: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing could even be tried; the operator is told what to do, and what to allow."""
    monkeypatch.setattr("sys.executable", "/no/such/python")
    outcome = node("node", "start")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: plans cannot be kept from the network and from files" in outcome.talk
    assert "FEDMQ_ALLOW_UNCONTAINED=1" in outcome.talk
    assert node("node", "status", "--json").json["containment"]["level"] == "insufficient"


def test_a_second_node_in_a_home_is_refused(node: CommandLine, home: Path) -> None:
    """Commands that look go on meanwhile."""
    with claimed(home / "node", "a node"):
        outcome = node("node", "start")
        assert (outcome.code, outcome.data) == (1, "")
        assert f"error: a node runs already in {home / 'node'}" in outcome.talk
        assert node("node", "status").code == 0
        assert node("node", "data", "list").code == 0


def test_status_says_what_waits_and_what_was_turned_away(node: CommandLine, home: Path) -> None:
    """For people and for programs."""
    records = open_records(LocalHome(home / "node"))
    for reason in ("too_large", "not_msgpack", "too_large"):
        Inbox(records.journal, Counters(records.journal), FakeClock(lambda: 0.0)).note_rejected(
            TurnedAway(reason=reason, queue="q", kind="k", sender="u", size_bytes=1)
        )
    records.close()
    shown = node("node", "status")
    lines = shown.data.splitlines()
    assert lines.pop(6).startswith("disk free         ")
    assert lines.pop(6).startswith("containment       ")
    signed = Keyring(home / "node" / "credentials.keys").signed_roster()
    assert lines.pop(6) == f"roster            1, hash {signed.fingerprint}"
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
    assert document.pop("containment").keys() == {"level", "means", "lacks"}
    assert document.pop("roster") == {
        "version": 1,
        "hash": signed.hash,
        "fingerprint": signed.fingerprint,
    }
    assert document == {
        "schema_version": 1,
        "datasets": 0,
        "plans_awaiting": 0,
        "tasks_waiting": 0,
        "tasks_held": 0,
        "unsent": 0,
        "payloads_awaited": 0,
        "rejected": {"not_msgpack": 1, "too_large": 2},
        "audit": {"num_objections": 0, "newest": None, "lost": []},
    }


def test_two_rosters_of_one_version_lead_the_operator_to_the_roster(
    node: CommandLine, home: Path
) -> None:
    """Its hash is what the hub's operator reads out."""
    records = open_records(LocalHome(home / "node"))
    Inbox(records.journal, Counters(records.journal), FakeClock(lambda: 0.0)).note_rejected(
        TurnedAway(reason="roster_forked", queue="q", kind="k", sender="u", size_bytes=1)
    )
    records.close()
    shown = node("node", "status")
    assert "turned away       1 x roster_forked" in shown.data.splitlines()
    assert shown.talk.endswith("next: fedmq node roster\n")


def test_a_roster_that_cannot_be_read_hides_nothing_else(node: CommandLine, home: Path) -> None:
    """The status says where to look."""
    (home / "node" / "credentials.keys" / "roster.json").write_text("{}")
    shown = node("node", "status")
    assert shown.code == 0
    assert "roster            cannot be read: fedmq node check" in shown.data.splitlines()
    assert node("node", "status", "--json").json["roster"] is None


def test_status_says_that_the_orchestrator_objected_to_the_audit_log(
    node: CommandLine, home: Path
) -> None:
    """How often, when, why, what it keeps; and what to do about it."""
    records = open_records(LocalHome(home / "node"), FakeClock(lambda: 1_000.0))
    for kept in (40, 41):
        records.audit.note(HeadObjected(code="went_back", entry=11, kept=kept))
    records.audit.note(NodeStarted(node=LYON, version="1"))
    records.close()
    shown = node("node", "status")
    assert shown.code == 0
    assert shown.data.splitlines()[-2:] == [
        "audit objected    2 times, last at 1970-01-01 00:16:40 UTC: the log was longer before",
        "                  told of entry 11, the orchestrator keeps 41",
    ]
    assert "where this home was put back from a copy, write down when and why" in shown.talk
    assert "tell who is responsible for the data" in shown.talk
    assert shown.talk.splitlines()[-2:] == [
        "next: fedmq node audit verify",
        "      fedmq node audit export FILE",
    ]
    assert node("node", "status", "--json").json["audit"] == {
        "num_objections": 2,
        "newest": {
            "entry": 2,
            "at": 1000.0,
            "told": {"code": "went_back", "entry": 11, "kept": 41},
        },
        "lost": [],
    }


def test_status_says_that_signed_entries_are_gone(node: CommandLine, home: Path) -> None:
    """The node finds it by itself: it keeps the signature, and has another entry or none."""
    records = open_records(LocalHome(home / "node"))
    for version in range(3):
        records.audit.note(NodeStarted(node=LYON, version=str(version)))
    for entry in records.audit.entries():
        signed = SignedHead(
            log=entry.hash, number=entry.number, hash=entry.hash, at_ms=1, signature="0" * 128
        )
        assert records.heads.keep(signed, by="orchestrator", roster=None)
    records.journal.execute("DELETE FROM audit WHERE number >= 2")
    records.audit.note(NodeStarted(node=LYON, version="another"))
    records.close()
    shown = node("node", "status")
    assert shown.data.splitlines()[-1] == (
        "audit damaged     signed and gone or changed: 2, the first is entry 2"
    )
    assert "entries that the orchestrator has signed are gone or changed" in shown.talk
    assert shown.ends_with_next
    assert node("node", "status", "--json").json["audit"]["lost"] == [2, 3]


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
    assert "fix: fedmq node join TOKEN" in outcome.talk
    assert not (home / "node").exists()


def test_check_says_what_is_reachable_and_what_to_ask_of_the_network_team(
    node: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is at the broker's address; settings of other programs are told not to be read."""
    monkeypatch.setenv("FEDMQ_BROKER_AUTHORITY", "/etc/ssl/hospital.pem")
    monkeypatch.setenv("https_proxy", "http://elsewhere:1")
    shown = node("node", "check")
    lines = shown.data.splitlines()
    marks = {line.split()[1]: line[0] for line in lines if line[0:1] in {"✓", "✗", "-"}}
    assert (shown.code, marks) == (
        1,
        dict.fromkeys(("folders", "containment", "certificate", "roster", "names"), "✓")
        | {"connection": "✗", "login": "-", "queues": "-"},
    )
    assert "✗ connection    nobody answers at 127.0.0.1:1" in lines
    assert "    why: Connection refused" in lines
    assert "The broker is on this machine: there is nothing to ask" in shown.data
    assert "https_proxy is set and is not read" in shown.talk
    assert "FEDMQ_BROKER_AUTHORITY is set and is not used here: the token brought" in shown.talk
    assert shown.ends_with_next
    document = node("node", "check", "--json").json
    assert (document["schema_version"], document["is_ok"]) == (1, False)


def test_a_proxys_password_comes_from_a_file_that_only_its_owner_reads(
    node: CommandLine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that others may read, or that is missing, ends the command."""
    word = home / "word"
    word.write_text("s3cret\n")
    word.chmod(0o644)
    monkeypatch.setenv("FEDMQ_PROXY", "http://op@proxy:3128")
    monkeypatch.setenv("FEDMQ_PROXY_PASSWORD_FILE", str(word))
    assert "is not kept secret" in node("node", "check").talk
    word.chmod(0o600)
    assert "is not kept secret" not in node("node", "check").talk
    word.unlink()
    assert "cannot be read" in node("node", "check").talk
    monkeypatch.setenv("FEDMQ_PROXY", "proxy:3128")
    monkeypatch.delenv("FEDMQ_PROXY_PASSWORD_FILE")
    assert "error: the proxy in FEDMQ_PROXY cannot be used" in node("node", "check").talk
