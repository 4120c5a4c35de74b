"""The stores of a machine's orchestrators: found by credentials or name, each of one of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.audit import log as audit_log
from fedmq.audit.log import AuditLog
from fedmq.cli.stores import OWNER, claim_store
from fedmq.clocks import SystemClock
from fedmq.errors import ConfigurationError
from fedmq.orchestrator.audit_facts import OrchestratorStarted
from fedmq.transport.home import LocalHome
from fedmq.types import Role
from tests.support.orchestrator_home import open_journal
from tests.unit.cli.line import CommandLine


@pytest.fixture
def north(home: Path) -> Path:
    """Return the store of an orchestrator that was added, in which it has run."""
    folder = home / "orchestrators" / "north"
    open_journal(folder).close()
    claim = folder / OWNER
    claim.write_text("north\n")
    return folder


def test_a_new_store_is_of_who_begins_it(tmp_path: Path) -> None:
    """And stays so, whoever comes."""
    claim_store(tmp_path, "north")
    claim_store(tmp_path, "north")
    with pytest.raises(ConfigurationError, match="south cannot lead in"):
        claim_store(tmp_path, "south")
    assert (tmp_path / OWNER).read_text() == "north\n"


def test_a_store_of_before_is_that_of_the_first_orchestrator(tmp_path: Path) -> None:
    """Nobody else had one then; nothing needs to be written there."""
    open_journal(tmp_path).close()
    claim_store(tmp_path, "orchestrator")
    with pytest.raises(ConfigurationError, match="north cannot lead in"):
        claim_store(tmp_path, "north")
    assert not (tmp_path / OWNER).exists()


def test_the_status_of_one_is_found_by_its_credentials_and_by_its_name(
    fedmq: CommandLine, credentials: Callable[..., Path], north: Path, home: Path
) -> None:
    """By name where the credentials are gone, as of one that was revoked."""
    path = credentials("north", Role.ORCHESTRATOR)
    open_journal(home / "orchestrator").close()
    (north / "experiments").mkdir()
    (north / "experiments" / "model").write_bytes(bytes(70_000))
    (home / "orchestrator" / "experiments").mkdir(exist_ok=True)

    def used(*words: str) -> str:
        lines = fedmq("orchestrator", "status", *words).data.splitlines()
        (line,) = [one for one in lines if one.startswith("disk used")]
        return line

    of_north = used("--credentials", str(path))
    path.unlink()
    assert used("--name", "north") == of_north
    assert used("--name", "orchestrator") == used()


def test_one_is_named_in_one_way(fedmq: CommandLine, north: Path) -> None:
    """Both could be of two orchestrators."""
    outcome = fedmq("orchestrator", "status", "--name", north.name, "--credentials", "north.toml")
    assert (outcome.code, outcome.data) == (2, "")
    assert "not both" in outcome.talk


@pytest.mark.parametrize("words", [("status",), ("audit", "verify"), ("audit", "show")])
def test_where_another_one_has_run_its_name_is_said(
    fedmq: CommandLine, north: Path, words: tuple[str, ...]
) -> None:
    """As on the machine to which its files were moved."""
    outcome = fedmq("orchestrator", *words)
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: no orchestrator has run here yet" in outcome.talk
    assert outcome.talk.endswith(f"; here have run, by --name: {north.name}\n")
    outcome = fedmq("orchestrator", *words, "--name", "south")
    assert "error: no orchestrator south has run here yet" in outcome.talk
    outcome = fedmq("orchestrator", *words, "--name", "../hub")
    assert "cannot name an orchestrator" in outcome.talk


def test_its_audit_log_is_its_own(fedmq: CommandLine, north: Path, home: Path) -> None:
    """Each command that is next speaks of the same log."""
    open_journal(home / "orchestrator").close()
    journal = LocalHome(north).journal(audit_log.SCHEMA)
    AuditLog(journal, SystemClock()).note(OrchestratorStarted(orchestrator="north", version="1"))
    journal.close()
    shown = fedmq("orchestrator", "audit", "show", "--name", "north")
    assert "orchestrator=north" in shown.data
    assert "next: fedmq orchestrator audit verify --name north" in shown.talk
    verified = fedmq("orchestrator", "audit", "verify", "--name", "north", "--json").json
    assert verified["num_entries"] == 1
    exported = fedmq("orchestrator", "audit", "export", "north.jsonl", "--name", "north")
    assert exported.data.startswith("head        1:")
    assert fedmq("orchestrator", "audit", "verify", "--json").json["num_entries"] == 0


def test_what_each_of_them_needs_no_more_is_freed(
    fedmq: CommandLine, north: Path, home: Path
) -> None:
    """They are told apart; the next command is about the first in the list."""
    (north / "payloads").mkdir()
    (north / "payloads" / ("b" * 64)).write_bytes(bytes(8192))
    outcome = fedmq("gc", "--json")
    assert [one["program"] for one in outcome.json["programs"]] == ["orchestrator north"]
    assert not (north / "payloads" / ("b" * 64)).exists()
    assert fedmq("gc").talk.endswith("next: fedmq orchestrator status --name north\n")
    open_journal(home / "orchestrator").close()
    programs = fedmq("gc", "--json").json["programs"]
    assert [one["program"] for one in programs] == ["orchestrator", "orchestrator north"]
