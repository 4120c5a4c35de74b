"""The journal: all of a transaction or nothing of it, also where the disk refuses the end of it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedmq.errors import DiskFull, StorageError
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


def test_a_journal_without_room_says_that_it_is_full(journal: FullJournal) -> None:
    """SQLite finds no page for more; every other fault is of another kind."""
    journal.execute("PRAGMA max_page_count = 4")
    with pytest.raises(DiskFull, match="full"):
        journal.execute(
            "INSERT INTO t SELECT value FROM (WITH RECURSIVE n(value) AS"
            " (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 100000) SELECT value FROM n)"
        )
    with pytest.raises(StorageError) as caught:
        journal.execute("INSERT INTO nowhere VALUES (1)")
    assert not isinstance(caught.value, DiskFull)
    journal.close()


def test_settling_writes_all_that_was_committed_into_the_file_itself(tmp_path: Path) -> None:
    """The log is empty afterwards, and the file alone holds everything."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, SCHEMA)
    journal.execute("INSERT INTO t VALUES (7)")
    log = path.with_name("journal.sqlite-wal")
    assert log.stat().st_size > 0
    journal.settle()
    assert log.stat().st_size == 0
    copy = tmp_path / "copy" / "journal.sqlite"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    alone = Journal(copy, SCHEMA)
    assert alone.rows("SELECT x FROM t") == [(7,)]
    alone.close()
    journal.close()


def test_a_log_that_lost_its_end_holds_what_was_committed_before(tmp_path: Path) -> None:
    """For every length of the last record, and many of those before: whole transactions, in order.

    What is written next comes behind them.
    """
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, SCHEMA)
    journal.settle()
    log = path.with_name("journal.sqlite-wal")
    sizes = [0]
    for number in range(1, 4):
        with journal.transaction():
            journal.execute("INSERT INTO t VALUES (?)", (number,))
            journal.execute("INSERT INTO t VALUES (?)", (-number,))
        sizes.append(log.stat().st_size)
    content, whole = path.read_bytes(), log.read_bytes()
    journal.close()
    copy = tmp_path / "copy.sqlite"
    for length in [*range(0, sizes[2], 211), *range(sizes[2], sizes[3] + 1)]:
        copy.write_bytes(content)
        copy.with_name("copy.sqlite-wal").write_bytes(whole[:length])
        copy.with_name("copy.sqlite-shm").unlink(missing_ok=True)
        connection = sqlite3.connect(copy)
        num_whole = sum(size <= length for size in sizes[1:])
        rows = connection.execute("SELECT x FROM t ORDER BY rowid").fetchall()
        connection.close()
        assert rows == [(sign * n,) for n in range(1, num_whole + 1) for sign in (1, -1)], length
    copy.write_bytes(content)
    copy.with_name("copy.sqlite-wal").write_bytes(whole[:-1])
    again = Journal(copy, SCHEMA)
    again.settle()
    again.execute("INSERT INTO t VALUES (9)")
    assert again.rows("SELECT x FROM t ORDER BY rowid")[-2:] == [(-2,), (9,)]
    again.close()


def test_empty_pages_go_back_to_the_disk_when_it_is_asked(tmp_path: Path) -> None:
    """What rows held that went is kept for new ones until then; the others stay."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, SCHEMA)
    with journal.transaction():
        for number in range(20_000):
            journal.execute("INSERT INTO t VALUES (?)", (number,))
    journal.execute("DELETE FROM t WHERE x > 0")
    journal.settle()
    size, (num_pages, page_bytes) = path.stat().st_size, journal.empty_pages()
    assert num_pages * page_bytes > size / 2
    journal.compact()
    assert path.stat().st_size <= size - num_pages * page_bytes
    assert (journal.empty_pages()[0], journal.rows("SELECT x FROM t")) == (0, [(0,)])
    journal.close()
