"""The log in a journal's file that a kill or a power cut left half-written."""

import shutil
from pathlib import Path
from typing import Final

from fedmq.audit.log import SCHEMA, AuditLog
from fedmq.orchestrator.audit_facts import OrchestratorStarted
from fedmq.transport.home import JOURNAL_NAME, LocalHome
from tests.support.clock import FakeClock

WAL: Final = f"{JOURNAL_NAME}-wal"
"""Where SQLite writes first."""


def started(number: int) -> OrchestratorStarted:
    """Return something that happened."""
    return OrchestratorStarted(orchestrator="orchestrator", version=str(number))


def test_an_entry_that_was_written_by_half_is_none(tmp_path: Path) -> None:
    """Cut anywhere in the bytes of the last entry: those before it verify, the next goes on."""
    clock = FakeClock(lambda: 1_000.0)
    journal = LocalHome(tmp_path / "home").journal(SCHEMA)
    log, heads, ends = AuditLog(journal, clock), [], []
    for number in range(4):
        heads.append(log.note(started(number)))
        ends.append((tmp_path / "home" / WAL).stat().st_size)
    assert ends == sorted(set(ends))
    for size in (*range(ends[2], ends[3], 97), ends[3] - 1, ends[3]):
        # As after a kill: the files are copied beside the program that has them open.
        copy = tmp_path / f"copy-{size}"
        shutil.copytree(tmp_path / "home", copy)
        (copy / f"{JOURNAL_NAME}-shm").unlink()
        with (copy / WAL).open("r+b") as file:
            file.truncate(size)
        other = LocalHome(copy).journal(SCHEMA)
        cut = AuditLog(other, clock)
        whole = size == ends[3]
        assert cut.head() == heads[3 if whole else 2], size
        assert cut.verify(heads[:3]).fault is None
        assert (cut.verify([heads[3]]).fault is None) == whole
        assert cut.note(started(3)).number == (5 if whole else 4)
        assert cut.verify(heads[:3]).fault is None
        other.close()
        shutil.rmtree(copy)
    journal.close()
