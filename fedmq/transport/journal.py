"""The journal: what a service must not forget, in one SQLite file.

Everything that belongs together (a message, what it changed, the messages it led to) is written in
one transaction and is on the disk when the transaction returns.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fedmq.disk import NO_ROOM
from fedmq.errors import DiskFull, StorageError
from fedmq.transport.file_systems import is_shared as is_seen_by_others

Cell = str | int | float | bytes | None
_Known = dict[tuple[str, tuple[Cell, ...]], list[tuple[Cell, ...]]]

_WAIT: Final = "PRAGMA busy_timeout = 10000"
_WRITE_AHEAD: Final = "PRAGMA journal_mode = WAL"
_ROLL_BACK: Final = "PRAGMA journal_mode = TRUNCATE"
"""Where machines share the file: to write ahead takes memory in common (sqlite.org/wal.html)."""
_PRAGMAS: Final = (
    # FULL: a commit that returned outlives a power cut.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)


_MOUNTS: Final = Path("/proc/self/mountinfo")
_UNGUARDED: Final = ("BEGIN", "COMMIT", "PRAGMA", "VACUUM")
"""Statements that change no row, or cannot stand in a transaction."""
_FULL_BYTES: Final = 2**20
"""With less room than this, a fault that has no name is one of room."""
_UNNAMED: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite also says where it finds no room: for its index, which is a file too."""


class Journal:
    """Tables on disk, for one process and thread at a time; other processes may read and write."""

    _folder: Path | None = None
    """None where the tables are on no disk."""
    _num_changes: int = -1
    """Rows written so far, those that were rolled back too, when `_known` was asked for."""
    _require: Callable[[], None] | None = None
    """Raises where nothing may be written any more; None: whoever has the journal may write."""

    def __init__(self, path: Path, *schemas: str, is_shared: bool | None = None) -> None:
        """`is_shared`: other machines may see the file; None: as its file system says."""
        self._folder = path.parent
        self._known: _Known = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            shared = _is_shared(path) if is_shared is None else is_shared
            for pragma in (_WAIT, _ROLL_BACK if shared else _WRITE_AHEAD, *_PRAGMAS):
                self._connection.execute(pragma)
            for schema in schemas:
                self._connection.executescript(schema)
        except (OSError, sqlite3.Error) as error:
            kind = DiskFull if _is_of_room(error, path.parent) else StorageError
            raise kind(
                f"the journal {path.name} cannot be opened",
                why=str(error),
                fix="check the folder's rights and the free space, or restore the file",
            ) from error

    def execute(self, sql: str, cells: Sequence[Cell] = ()) -> int:
        """Return how many rows a statement changed.

        Raises:
            StorageError: the disk refused.
        """
        is_by_itself = not self._connection.in_transaction and not sql.startswith(_UNGUARDED)
        if self._require is not None and is_by_itself:
            with self.transaction():
                return self.execute(sql, cells)
        try:
            return self._connection.execute(sql, cells).rowcount
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def rows(self, sql: str, cells: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Return all rows of a query."""
        try:
            return self._connection.execute(sql, cells).fetchall()
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def own_rows(self, sql: str, cells: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Return all rows of a query on tables that no other process writes.

        SQLite is asked again only once something was written here since: a service that looks at
        each event and tick whether there is something to do mostly finds nothing new.
        """
        connection = self._connection
        if connection.in_transaction:
            return self.rows(sql, cells)
        if connection.total_changes != self._num_changes:
            self._num_changes = connection.total_changes
            self._known.clear()
        query = (sql, tuple(cells))
        found = self._known.get(query)
        if found is None:
            found = self._known[query] = self.rows(sql, cells)
        return found

    def cell(self, sql: str, cells: Sequence[Cell] = ()) -> Cell:
        """Return the first cell of a query's first row, None where there is no row."""
        rows = self.rows(sql, cells)
        return rows[0][0] if rows else None

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is open."""
        return self._connection.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all that is executed inside, or nothing of it; one inside another is part of it."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            if self._require is not None:
                self._require()
            yield
            self.execute("COMMIT")
        except BaseException:
            # A commit that the disk refused too: what comes next must not be a part of it.
            self._connection.rollback()
            raise

    def guard(self, require: Callable[[], None]) -> None:
        """Ask before everything that is written from here on, inside its transaction.

        What `require` reads there no other program can change before the commit.
        """
        self._require = require

    def settle(self) -> None:
        """Write what earlier lives committed from the log into the file itself, and sync that.

        A sync that failed is not made good by one that goes well: Linux calls those pages clean.
        They are still read, so what they hold is written once more.

        Raises:
            StorageError: the disk refused.
        """
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def empty_pages(self) -> tuple[int, int]:
        """Return how many pages of the file hold nothing, and the bytes of one."""
        return int(self.cell("PRAGMA freelist_count") or 0), int(self.cell("PRAGMA page_size") or 0)

    def compact(self) -> None:
        """Give the room of empty pages back to the disk; a kill leaves the file as it was.

        Raises:
            DiskFull: there is no room for a copy of what the journal holds.
            StorageError: the disk refused.
        """
        if self.empty_pages()[0]:
            self.execute("VACUUM")
        self.settle()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _refused(self, error: sqlite3.Error) -> StorageError:
        kind = DiskFull if _is_of_room(error, self._folder) else StorageError
        return kind(
            "the journal could not be read or written",
            why=str(error),
            fix="free space on the disk, or look after it",
        )


def _is_shared(path: Path) -> bool:
    try:
        mounts = _MOUNTS.read_text(errors="replace")
    except OSError:
        return False
    return is_seen_by_others(path.parent.resolve(), mounts)


def _is_of_room(error: OSError | sqlite3.Error, folder: Path | None) -> bool:
    """Return whether an error says that the disk is full, in whatever words."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or folder is None:
        return False
    kind = code & 0xFF
    if kind in _UNNAMED:
        with suppress(OSError):
            found = os.statvfs(folder)
            return found.f_bavail * found.f_frsize < _FULL_BYTES
    return bool(kind == sqlite3.SQLITE_FULL)
