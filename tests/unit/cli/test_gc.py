"""`fedmq gc`: says what it frees, frees it, and leaves alone what runs."""

from pathlib import Path

import pytest

from fedmq.audit import log as audit_log
from fedmq.audit.log import AuditLog
from fedmq.audit.retention import YEAR_S
from fedmq.claims import claimed
from fedmq.clocks import SystemClock
from fedmq.node.records import open_records
from fedmq.orchestrator.audit_facts import OrchestratorStarted
from fedmq.transport.home import LocalHome
from tests.support.orchestrator_home import MODEL, open_journal, write_payloads
from tests.unit.cli.line import CommandLine

OLD = "b" * 64


@pytest.fixture
def orchestrator(home: Path) -> Path:
    """Return the payloads of an orchestrator: the model of its experiment, and one of nothing."""
    open_journal(home / "orchestrator").close()
    return write_payloads(home / "orchestrator", MODEL, OLD, size_bytes=8192)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_dry_run_says_what_would_go_and_the_run_lets_it_go(
    fedmq: CommandLine, orchestrator: Path
) -> None:
    """Both print the same table; afterwards there is nothing to free."""
    dry = fedmq("gc", "--dry-run")
    assert dry.code == 0
    assert names(orchestrator) == [MODEL, OLD]
    assert dry.data.splitlines() == [
        "program       what                                    number  size",
        "orchestrator  models and updates that no round needs       1  8.2 kB",
    ]
    assert dry.talk.splitlines() == ["next: fedmq gc"]
    done = fedmq("gc")
    assert (done.code, done.data) == (0, dry.data)
    assert done.ends_with_next
    assert names(orchestrator) == [MODEL]
    again = fedmq("gc")
    assert (again.code, again.data) == (0, "nothing to free\n")


def test_what_runs_is_left_alone_and_told(fedmq: CommandLine, orchestrator: Path) -> None:
    """A program that runs knows of more than its home says."""
    with claimed(orchestrator.parent, "an orchestrator"):
        outcome = fedmq("gc")
    assert outcome.code == 0
    assert "the orchestrator runs, and frees by itself" in outcome.talk
    assert names(orchestrator) == [MODEL, OLD]


def test_programs_read_what_went_of_each_program(
    fedmq: CommandLine, orchestrator: Path, home: Path
) -> None:
    """Node and orchestrator of one home; the sizes in bytes."""
    open_records(LocalHome(home / "node")).close()
    share = {
        "what": "models and updates that no round needs",
        "count": 1,
        "size_bytes": 8192,
    }
    assert fedmq("gc", "--json").json == {
        "schema_version": 1,
        "programs": [
            {
                "program": "orchestrator",
                "is_running": False,
                "is_freed": True,
                "shares": [share],
            },
            {"program": "node", "is_running": False, "is_freed": True, "shares": []},
        ],
    }
    assert names(orchestrator) == [MODEL]


def test_where_nothing_has_run_there_is_nothing_to_free(fedmq: CommandLine, home: Path) -> None:
    """And nothing is made."""
    outcome = fedmq("gc")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: no program has run here yet" in outcome.talk
    assert names(home) == []


def test_old_entries_of_the_orchestrators_log_go_as_those_of_a_node(
    fedmq: CommandLine, orchestrator: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many years as the setting says; none while it runs, and none in a dry run."""
    home = orchestrator.parent
    journal = LocalHome(home).journal(audit_log.SCHEMA)
    log = AuditLog(journal, SystemClock())
    first = log.note(OrchestratorStarted(orchestrator="orchestrator", version="1"))
    (entry,) = log.entries()
    monkeypatch.setattr("time.time", lambda: entry.at + 4 * YEAR_S)
    log.note(OrchestratorStarted(orchestrator="orchestrator", version="2"))
    journal.close()
    (orchestrator / OLD).unlink()
    assert fedmq("gc").data == "nothing to free\n"
    monkeypatch.setenv("FEDMQ_AUDIT_YEARS", "3")
    words = "entries of the audit log older than 3 years"
    with claimed(home, "an orchestrator"):
        assert words in fedmq("gc").data
    for command in (("gc", "--dry-run"), ("gc",)):
        shown = fedmq(*command)
        assert shown.data.splitlines()[-1].split() == ["orchestrator", *words.split(), "1", "-"]
    verified = fedmq("orchestrator", "audit", "verify", "--json").json
    assert (verified["first"], verified["num_entries"], verified["fault"]) == (2, 2, None)
    (pruned,) = fedmq("orchestrator", "audit", "show", "-n", "1", "--json").json["entries"]
    assert pruned["fields"] == {"count": 1, "through": 1, "through_hash": first.hash}
    assert fedmq("gc").data == "nothing to free\n"


def test_what_is_prepared_for_experiments_that_are_over_goes(
    fedmq: CommandLine, home: Path
) -> None:
    """A folder that a crash has left; nobody reads it any more."""
    open_records(LocalHome(home / "node")).close()
    place = home / "node" / "cases" / "an-old-one" / "d-w-p"
    place.mkdir(parents=True)
    (place / "a.case").write_bytes(bytes(8192))
    dry = fedmq("gc", "--dry-run")
    assert "folders of prepared cases of experiments that are over       1" in dry.data
    assert (place / "a.case").exists()
    assert fedmq("gc").data == dry.data
    assert names(home / "node" / "cases") == []
    assert fedmq("gc").data == "nothing to free\n"
