"""The journal: all of a transaction or nothing of it, also where the disk refuses the end of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fedmq.errors import StorageError
from fedmq.transport.journal import Cell, Journal

SCHEMA = "CREATE TABLE IF NOT EXISTS t (x INTEGER);"


class FullJournal(Journal):
    """A journal whose disk takes no commit while it is full."""

    is_full = False

    def execute(self, sql: str, cells: Sequence[Cell] = ()) -> int:
        """Refuse to commit."""
        if self.is_full and sql == "COMMIT":
            raise StorageError("the disk is full")
        return super().execute(sql, cells)


@pytest.fixture
def journal(tmp_path: Path) -> FullJournal:
    """Return an empty journal."""
    return FullJournal(tmp_path / "journal.sqlite", SCHEMA)


def test_a_commit_that_the_disk_refuses_leaves_nothing_behind(journal: FullJournal) -> None:
    """What is written next, when there is room again, is not a part of it."""
    journal.is_full = True
    with pytest.raises(StorageError, match="full"), journal.transaction():
        journal.execute("INSERT INTO t VALUES (1)")
    journal.is_full = False
    with journal.transaction():
        journal.execute("INSERT INTO t VALUES (2)")
    assert journal.rows("SELECT x FROM t") == [(2,)]
    journal.close()


def test_an_error_inside_takes_everything_back(journal: FullJournal) -> None:
    """Whatever it is; and a transaction inside another is part of it."""

    def write() -> None:
        with journal.transaction():
            journal.execute("INSERT INTO t VALUES (1)")
            with journal.transaction():
                journal.execute("INSERT INTO t VALUES (2)")
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert journal.rows("SELECT x FROM t") == []
    journal.close()
