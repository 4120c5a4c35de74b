"""A disk in memory that forgets in a crash what was not synced, and a home on it.

What a crash may do to a file is what a journalling file system may: data that was written and not
synced is there, not there, or there in part, each write by itself; changes of names since the last
sync of their folder happened up to some moment, in their order. A sync that failed loses for good
what it was to write, though until the crash it is still read.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, Protocol

from fedmq.disk import Disk
from fedmq.errors import StorageError
from fedmq.transport.journal import Cell, Journal

_ROOM_BYTES: Final = 2**40
_NO_COMMIT: Final = ("BEGIN", "PRAGMA")

Step = Callable[[str], None]
"""Is called before each thing that is to outlive a crash, with a word for it, and once a sync or a
commit is through (`synced`, `committed`); may raise."""


class Fate(Protocol):
    """Decides what a crash leaves of what was not synced."""

    def bytes_kept(self, size_bytes: int) -> int:
        """Return how much of a write is there afterwards, from its beginning on."""

    def changes_kept(self, count: int) -> int:
        """Return how many of a folder's changes of names have happened, the first of them."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fate by chance: of each write nothing, all or a part."""

    random: Random

    def bytes_kept(self, size_bytes: int) -> int:
        """Return how much of a write is there afterwards, from its beginning on."""
        return self.random.choice((0, size_bytes, self.random.randint(0, size_bytes)))

    def changes_kept(self, count: int) -> int:
        """Return how many of a folder's changes of names have happened, the first of them."""
        return self.random.randint(0, count)


@dataclass(frozen=True, slots=True)
class Share:
    """The same fate for all: 0 loses everything, 1 nothing, 0.5 tears each write in the middle."""

    kept: float

    def bytes_kept(self, size_bytes: int) -> int:
        """Return how much of a write is there afterwards, from its beginning on."""
        return round(self.kept * size_bytes)

    def changes_kept(self, count: int) -> int:
        """Return how many of a folder's changes of names have happened, the first of them."""
        return round(self.kept * count)


@dataclass(slots=True, eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        self.unsynced.append((offset, data))
        _put(self.content, offset, data)

    def sync(self) -> None:
        durable = bytearray(self.durable)
        for offset, data in self.unsynced:
            _put(durable, offset, data)
        self.durable = bytes(durable)
        self.unsynced.clear()

    def fail_to_sync(self) -> None:
        # As on Linux: what could not be written is still read, and no later sync writes it.
        self.unsynced.clear()

    def crash(self, fate: Fate) -> None:
        content = bytearray(self.durable)
        for offset, data in self.unsynced:
            kept = fate.bytes_kept(len(data))
            if kept:
                _put(content, offset, data[:kept])
        self.content = content
        self.durable = bytes(content)
        self.unsynced.clear()


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


_Names = dict[str, _File]
_Change = Callable[[_Names], None]


class SimulatedDisk:
    """One folder of files in memory."""

    def __init__(self, place: Path, step: Step) -> None:
        self._place = place
        self._step = step
        self._names: _Names = {}
        self._durable: _Names = {}
        self._changes: list[_Change] = []

    def path(self, name: str) -> Path:
        """Return a path that names the file; nothing is there."""
        return self._place / name

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` from `offset` on."""
        return bytes(self._file(name).content[offset : offset + size_bytes])

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write, for as long as the machine runs."""
        self._step("write")
        if name not in self._names:
            file = _File()
            self._change(lambda names: names.__setitem__(name, file))
        self._names[name].write(offset, bytes(data))

    def sync(self, name: str) -> None:
        """Make the bytes of a file outlive a crash."""
        file = self._file(name)
        try:
            self._step("sync")
        except StorageError:
            file.fail_to_sync()
            raise
        file.sync()
        self._step("synced")

    def sync_names(self) -> None:
        """Make all names of the folder outlive a crash."""
        self._step("sync")
        self._durable = dict(self._names)
        self._changes.clear()
        self._step("synced")

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._step("rename")
        file = self._file(old)

        def change(names: _Names) -> None:
            names.pop(old, None)
            names[new] = file

        self._change(change)

    def link(self, name: str, other: Disk, new: str) -> None:
        """Give a file a name in another folder of memory too."""
        self._step("link")
        if not isinstance(other, SimulatedDisk):
            raise TypeError("a file in memory has no name on a real disk")
        file = self._file(name)
        other._change(lambda names: names.__setitem__(new, file))  # noqa: SLF001 - its own kind

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._step("remove")
        if name in self._names:

            def change(names: _Names) -> None:
                names.pop(name, None)

            self._change(change)

    def size_bytes(self, name: str) -> int | None:
        """Return the length of a file, None where there is none."""
        file = self._names.get(name)
        return None if file is None else len(file.content)

    def names(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""
        return tuple(sorted(self._names))

    def crash(self, fate: Fate) -> None:
        """Lose what was not synced, or some of it."""
        for change in self._changes[: fate.changes_kept(len(self._changes))]:
            change(self._durable)
        self._changes.clear()
        self._names = dict(self._durable)
        for file in {id(one): one for one in self._names.values()}.values():
            file.crash(fate)

    def _change(self, change: _Change) -> None:
        self._changes.append(change)
        change(self._names)

    def _file(self, name: str) -> _File:
        file = self._names.get(name)
        if file is None:
            raise StorageError(f"{name} could not be read or written", why="there is no such file")
        return file


class SimulatedJournal(Journal):
    """Tables in memory: what was committed outlives a crash, as SQLite promises of a disk."""

    def __init__(self, connection: sqlite3.Connection, step: Step) -> None:
        self._connection = connection
        self._step = step
        self._known = {}

    def execute(self, sql: str, cells: Sequence[Cell] = ()) -> int:
        """Return how many rows a statement changed; one outside a transaction is one by itself."""
        if sql != "COMMIT" and self._connection.in_transaction:
            return super().execute(sql, cells)
        is_commit = not sql.startswith(_NO_COMMIT)
        self._step("commit" if is_commit else "begin")
        changed = super().execute(sql, cells)
        if is_commit:
            self._step("committed")
        return changed

    def close(self) -> None:
        """Let go; the tables stay."""


class SimulatedHome:
    """What one machine keeps."""

    def __init__(self, name: str, step: Step) -> None:
        self.is_full = False
        self._place = Path("/") / name
        self._step = step
        self._disks: dict[tuple[str, ...], SimulatedDisk] = {}
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._schemas: set[str] = set()

    def disk(self, *names: str) -> SimulatedDisk:
        """Return the folder that the names lead to."""
        if names not in self._disks:
            self._disks[names] = SimulatedDisk(self._place.joinpath(*names), self._step)
        return self._disks[names]

    def journal(self, *schemas: str) -> SimulatedJournal:
        """Return the journal, with these tables."""
        for schema in schemas:
            if schema not in self._schemas:
                self._connection.executescript(schema)
                self._schemas.add(schema)
        return SimulatedJournal(self._connection, self._step)

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way: until its end no other program writes."""
        return self._connection.in_transaction

    def free_bytes(self) -> int:
        """Return how much room there is: a lot, or none."""
        return 0 if self.is_full else _ROOM_BYTES

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so much can be written now."""
        return size_bytes <= self.free_bytes()

    def count(self, table: str) -> int:
        """Return how many rows a table has, none where there is no such table."""
        known = self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,))
        if known.fetchone() is None:
            return 0
        found = self._connection.execute(f"SELECT count(*) FROM {table}")  # noqa: S608 - own name
        return int(found.fetchone()[0])

    def crash(self, fate: Fate) -> None:
        """Lose what was under way."""
        if self._connection.in_transaction:
            self._connection.rollback()
        for disk in self._disks.values():
            disk.crash(fate)

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()
