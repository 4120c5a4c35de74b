"""The journal: what a service must not forget, in one SQLite file.

Everything that belongs together (a message, what it changed, the messages it led to) is written in
one transaction and is on the disk when the transaction returns.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fedmq.errors import StorageError

Cell = str | int | float | bytes | None

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    # FULL: a commit that returned outlives a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA busy_timeout = 10000",
    "PRAGMA foreign_keys = ON",
)


class Journal:
    """Tables on disk, for one process and thread at a time; other processes may read and write."""

    def __init__(self, path: Path, *schemas: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            for pragma in _PRAGMAS:
                self._connection.execute(pragma)
            for schema in schemas:
                self._connection.executescript(schema)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"the journal {path.name} cannot be opened",
                why=str(error),
                fix="check the folder's rights and the free space, or restore the file",
            ) from error

    def execute(self, sql: str, cells: Sequence[Cell] = ()) -> int:
        """Return how many rows a statement changed.

        Raises:
            StorageError: the disk refused.
        """
        try:
            return self._connection.execute(sql, cells).rowcount
        except sqlite3.Error as error:
            raise _refused(error) from error

    def rows(self, sql: str, cells: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Return all rows of a query."""
        try:
            return self._connection.execute(sql, cells).fetchall()
        except sqlite3.Error as error:
            raise _refused(error) from error

    def cell(self, sql: str, cells: Sequence[Cell] = ()) -> Cell:
        """Return the first cell of a query's first row, None where there is no row."""
        rows = self.rows(sql, cells)
        return rows[0][0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that is executed inside, or nothing of it; one inside another is part of it."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            # A commit that the disk refused too: what comes next must not be a part of it.
            self._connection.rollback()
            raise

    def add_column(self, table: str, column: str) -> None:
        """A table of an earlier version of fedmq has a column (name and type) that came since.

        Raises:
            StorageError: the disk refused.
        """
        known = {row[1] for row in self.rows(f"PRAGMA table_info({table})")}
        if column.partition(" ")[0] not in known:
            self.execute(f"ALTER TABLE {table} ADD COLUMN {column}")

    def unused_bytes(self) -> int:
        """Return how much of the file holds nothing: what was deleted is used again, not given."""
        pages = int(self.cell("PRAGMA freelist_count") or 0)
        return pages * int(self.cell("PRAGMA page_size") or 0)

    def shrink(self) -> None:
        """Give back what holds nothing; nobody else may have the file open.

        Raises:
            StorageError: the disk refused, or somebody has it open.
        """
        self.execute("VACUUM")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _refused(error: sqlite3.Error) -> StorageError:
    return StorageError(
        "the journal could not be read or written",
        why=str(error),
        fix="free space on the disk, then start the program again",
    )
