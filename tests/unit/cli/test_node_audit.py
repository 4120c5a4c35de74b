"""The audit log at the command line: verified, exported, shown; and a node that leaves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.claims import claimed
from fedmq.hub.credentials import Role
from fedmq.hub.keyring import new_identity
from fedmq.node.audit_facts import NodeMade
from fedmq.node.records import open_records
from fedmq.security.heads import sign_head
from fedmq.security.roster import enrolled, sign_roster, with_member, without_member
from fedmq.transport.home import LocalHome
from tests.support.keys import FEDERATION, Keys
from tests.support.tiny_plan import write_cases
from tests.unit.cli.line import CommandLine

LYON = "chu-lyon"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node with a dataset and an approved plan: three entries."""
    credentials(LYON, Role.NODE, home / "node" / "credentials.toml")
    records = open_records(LocalHome(home / "node"), by="root")
    records.audit.note(NodeMade(node=LYON))
    records.close()
    write_cases(home / "cases", 3)
    fedmq("node", "data", "add", "petct", "cases")
    study = ("--protocol", "P-1", "--ethics", "E-1", "--study-end", "2099-12-31")
    terms = ("--researcher", "ada", "--dataset", "petct", *study)
    assert fedmq("node", "plans", "approve", "clinical-logistic", *terms).code == 0
    return fedmq


def execute(home: Path, sql: str) -> None:
    """Do something to the tables that the program does not do."""
    records = open_records(LocalHome(home / "node"))
    records.journal.execute("DROP TRIGGER audit_is_fixed")
    records.journal.execute(sql)
    records.close()


def test_a_sound_log_says_how_many_entries_and_its_head(node: CommandLine) -> None:
    """As text and as JSON."""
    shown = node("node", "audit", "verify")
    assert (shown.code, shown.ends_with_next) == (0, True)
    lines = dict(line.split(maxsplit=1) for line in shown.data.splitlines())
    assert lines["entries"] == "3: 1 to 3"
    assert lines["from"].endswith(" UTC")
    document = node("node", "audit", "verify", "--json").json
    assert (document["num_entries"], document["first"], document["fault"]) == (3, 1, None)
    assert lines["head"] == f"3:{document['head']['hash']}"


def test_a_damaged_log_says_which_entry_what_why_and_the_fix(node: CommandLine, home: Path) -> None:
    """And what is sound before it; for programs the same, with the same exit code."""
    execute(home, "UPDATE audit SET line = replace(line, 'approved', 'rejected') WHERE number = 3")
    shown = node("node", "audit", "verify")
    assert (shown.code, shown.data) == (1, "")
    sound, what, why, fix = shown.talk.splitlines()
    assert sound.startswith("sound up to entry 2, ")
    assert what == "error: entry 3 of the audit log is damaged"
    assert why == "  why: its bytes were changed: they do not have its hash"
    assert fix.startswith("  fix: keep the damaged log as it is")
    document = node("node", "audit", "verify", "--json")
    assert (document.code, document.json["fault"]["number"]) == (1, 3)
    outcome = node("node", "audit", "export", "log.jsonl")
    assert (outcome.code, (home / "log.jsonl").exists()) == (1, False)


def test_an_exported_log_is_verified_by_itself(node: CommandLine, home: Path) -> None:
    """Also where there is no node; the head that was printed tells a cut tail."""
    done = node("node", "audit", "export", "log.jsonl")
    assert done.code == 0
    head = done.data.split()[1]
    assert f"next: fedmq node audit verify log.jsonl --head {head}" in done.talk
    (home / "node").rename(home / "away")
    shown = node("node", "audit", "verify", "log.jsonl", "--head", head)
    assert (shown.code, shown.data.splitlines()[-1]) == (0, "kept heads  1 found")
    path = home / "log.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert node("node", "audit", "verify", "log.jsonl").code == 0
    cut = node("node", "audit", "verify", "log.jsonl", "--head", head)
    assert cut.code == 1
    assert "why: it is gone: somebody keeps a head of 3 entries, here are 2" in cut.talk


def test_an_export_can_begin_with_a_day(node: CommandLine, home: Path) -> None:
    """All of today's; nothing of a day that has not come; no other words for a day."""
    assert node("node", "audit", "export", "log.jsonl", "--since", "2020-01-01").code == 0
    assert node("node", "audit", "export", "none.jsonl", "--since", "2999-01-01").code == 1
    assert node("node", "audit", "export", "none.jsonl", "--since", "today").code == 2
    assert not (home / "none.jsonl").exists()


def test_a_head_has_a_form(node: CommandLine) -> None:
    """What is no head is told as such, and not as damage."""
    outcome = node("node", "audit", "verify", "--head", "3")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: '3' is no head" in outcome.talk


def test_the_last_entries_are_shown(node: CommandLine) -> None:
    """The newest at the end; digests short, and whole in JSON."""
    shown = node("node", "audit", "show")
    assert shown.ends_with_next
    header, *rows = shown.data.splitlines()
    assert header.split() == ["entry", "when", "kind", "what"]
    assert [row.split()[4] for row in rows] == ["node_made", "dataset", "plan_decision"]
    assert "decision=approved" in rows[-1]
    assert "name=clinical-logistic plan=" in rows[-1]
    assert "researcher=ada" in rows[-1]
    assert "datasets=petct" in rows[-1]
    (entry,) = node("node", "audit", "show", "-n", "1", "--json").json["entries"]
    assert (entry["number"], entry["fields"]["decision"]) == (3, "approved")
    assert len(entry["fields"]["plan"]) == 64
    assert node("node", "audit", "show", "-n", "0").code == 2


def test_a_time_beyond_all_calendars_is_shown(
    node: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's clock was set anywhere."""
    monkeypatch.setattr("time.time", lambda: 1e15)
    node("node", "plans", "reject", "clinical-logistic", "--reason", "a clock")
    assert "1000000000000000 s" in node("node", "audit", "show").data
    assert "1000000000000000 s" in node("node", "audit", "verify").data


# Leaving.


def test_a_node_that_has_left_does_not_start_and_keeps_its_log(
    node: CommandLine, home: Path
) -> None:
    """The closing record counts what was; nothing but looking is left to do."""
    left = node("node", "leave")
    assert (left.code, left.ends_with_next) == (0, True)
    assert "left the federation, after 0 experiments with 0 rounds" in left.talk
    assert left.data.startswith("head        4:")
    assert "give them this head:" in left.talk
    assert "no orchestrator signs the closing record" in left.talk
    (entry,) = node("node", "audit", "show", "-n", "1", "--json").json["entries"]
    fields = entry["fields"]
    assert (entry["kind"], fields["num_datasets"], fields["head_number"]) == ("node_left", 1, 3)
    for words in (
        ("node", "start"),
        ("node", "leave"),
    ):
        outcome = node(*words)
        assert outcome.code == 1, words
        assert outcome.talk.splitlines() == [
            "error: this node has left the federation",
            "  why: its audit log ends with the closing record",
            "  fix: to take part again, make a node in another folder: FEDMQ_HOME, fedmq node join",
        ]
    assert node("node", "audit", "verify").code == 0
    assert node("node", "audit", "export", "log.jsonl").code == 0
    assert node("node", "data", "withdraw", "petct", "case-1").code == 0
    assert (home / "node" / "journal.sqlite").exists()


def test_a_node_that_runs_does_not_leave(node: CommandLine, home: Path) -> None:
    """It is ended first, so that nothing is written behind the closing record."""
    with claimed(home / "node", "a node"):
        outcome = node("node", "leave")
    assert outcome.code == 1
    assert "runs already" in outcome.talk
    assert node("node", "audit", "verify", "--json").json["num_entries"] == 3


# Old entries.


def test_gc_frees_old_entries_and_says_so(
    node: CommandLine, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """As many years as the setting says; a dry run frees none."""
    records = open_records(LocalHome(home / "node"))
    first = next(iter(records.audit.entries()))
    records.close()
    monkeypatch.setattr("time.time", lambda: first.at + 4 * 365.25 * 86_400)
    node("node", "plans", "reject", "clinical-logistic", "--reason", "old")
    assert node("gc").data == "nothing to free\n"
    monkeypatch.setenv("FEDMQ_AUDIT_YEARS", "3")
    expected = [
        "program  what                                     number  size",
        "node     entries of the audit log older than 3 years       3  -",
    ]
    for words in (("gc", "--dry-run"), ("gc",)):
        shown = node(*words)
        assert [" ".join(line.split()) for line in shown.data.splitlines()] == [
            " ".join(line.split()) for line in expected
        ]
    verified = node("node", "audit", "verify", "--json").json
    assert (verified["first"], verified["num_entries"], verified["fault"]) == (4, 2, None)
    assert node("gc").data == "nothing to free\n"


def test_who_is_revoked_in_a_roster_that_waits_vouches_for_no_log(
    node: CommandLine, home: Path
) -> None:
    """Its signatures count no more at once, as for messages."""
    keys = Keys({LYON: Role.NODE, "orchestrator": Role.ORCHESTRATOR, "hub-b": Role.ORCHESTRATOR})
    keyring = keys.write_keyring(home / "node" / "credentials.keys", keys.identities[LYON])
    records = open_records(LocalHome(home / "node"))
    told = records.heads.tell()
    assert told is not None
    identity = keys.identities["hub-b"]
    head = sign_head(told, LYON, at_ms=1_000, identity=identity, federation=FEDERATION)
    assert records.heads.keep(head, by="hub-b", roster=keys.signed.notice)
    records.close()
    north = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)
    waiting = with_member(keys.roster, north, at=2.0)
    for roster, is_believed in (
        (waiting, True),
        (without_member(waiting, "hub-b", "stolen", at=3.0), False),
    ):
        keyring.hold_roster(sign_roster(roster, keys.governance))
        shown = node("node", "audit", "verify")
        assert ("by hub-b" in shown.data) is is_believed
