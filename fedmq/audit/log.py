"""The audit log: what happened at a program, one entry behind the other, in its journal.

An entry is written in the transaction of what it tells, so that neither is there without the other.
The head is read inside that transaction: journals have one writer at a time, and the command line
and the service cannot both write behind the same entry.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from fedmq.audit.chain import BEGINNING, Entry, Head, read_entry, write_entry
from fedmq.audit.check import ChainCheck, Verdict
from fedmq.audit.facts import EntriesPruned, F, Fact, fact_of, fields_of
from fedmq.clocks import Clock
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS audit (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    hash TEXT NOT NULL,
    line BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_kinds ON audit (kind);
CREATE TRIGGER IF NOT EXISTS audit_is_fixed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'entries of the audit log are not changed');
END;
"""
_PAGE: Final = 1_000


class AuditLog:
    """The log of one program; only retention removes from it, and says so in it."""

    def __init__(self, journal: Journal, clock: Clock, *, by: str = "") -> None:
        self.by = by
        """The person whose acts are written: empty where the program acts by itself."""
        self._journal = journal
        self._clock = clock

    def note(self, fact: Fact) -> Head:
        """Write what happened; return the head with it. Within a transaction it is part of that."""
        with self._journal.transaction():
            before = self.head()
            line, head = write_entry(
                before, at=self._clock.now(), kind=fact.KIND, fields=fields_of(fact)
            )
            self._journal.execute(
                "INSERT INTO audit VALUES (?, ?, ?, ?)", (head.number, fact.KIND, head.hash, line)
            )
        return head

    def prune(self, through: Head, *, count: int) -> None:
        """Remove the first entries, `count` up to this head, and write that down."""
        with self._journal.transaction():
            self.note(EntriesPruned(count=count, through=through.number, through_hash=through.hash))
            self._journal.execute("DELETE FROM audit WHERE number <= ?", (through.number,))

    def head(self) -> Head:
        """Return how far the log has come."""
        rows = self._journal.rows("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
        return _head(*rows[0]) if rows else BEGINNING

    # Reading.

    def lines(self, first: int = 1) -> Iterator[bytes]:
        """Yield the bytes of the entries from number `first` on."""
        for *_, line in self._rows(first):
            yield _bytes(line)

    def entries(self, first: int = 1) -> Iterator[Entry]:
        """Yield the entries from number `first` on; those that are damaged are left out."""
        return _read(self.lines(first))

    def last(self, count: int) -> tuple[Entry, ...]:
        """Return the last entries, the newest at the end."""
        return tuple(self.entries(max(1, self.head().number - count + 1)))

    def facts(self, kind: type[F]) -> Iterator[F]:
        """Yield all that is told of one kind, the oldest first."""
        return (fact for _, fact in self.told(kind))

    def told(self, kind: type[F]) -> Iterator[tuple[Entry, F]]:
        """Yield each entry of one kind with what it tells, the oldest first."""
        rows = self._journal.rows(
            "SELECT line FROM audit WHERE kind = ? ORDER BY number", (kind.KIND,)
        )
        for entry in _read(_bytes(row[0]) for row in rows):
            fact = fact_of(entry, kind)
            if fact is not None:
                yield entry, fact

    def has(self, kind: type[Fact]) -> bool:
        """Return whether something of a kind happened."""
        return self._journal.cell("SELECT 1 FROM audit WHERE kind = ?", (kind.KIND,)) is not None

    def verify(self, heads: Iterable[Head] = ()) -> Verdict:
        """Return what is found of the whole log; `heads` have to be in it."""
        check = ChainCheck(is_whole=True, heads=heads)
        for number, kind, hashed, line in self._rows(1):
            if not check.take(_bytes(line)):
                break
            entry = check.last
            if entry is None or (entry.number, entry.kind, entry.hash) != (number, kind, hashed):
                check.fail(int(number or 0), "the journal lists it under another number or kind")
                break
        return check.finish()

    def _rows(self, first: int) -> Iterator[tuple[Cell, ...]]:
        while True:
            rows = self._journal.rows(
                "SELECT number, kind, hash, line FROM audit WHERE number >= ?"
                " ORDER BY number LIMIT ?",
                (first, _PAGE),
            )
            yield from rows
            if len(rows) < _PAGE:
                return
            first = int(rows[-1][0] or 0) + 1


def _read(lines: Iterable[bytes]) -> Iterator[Entry]:
    for line in lines:
        entry = read_entry(line)
        if entry is not None:
            yield entry


def _head(number: Cell, hashed: Cell) -> Head:
    return Head(number=int(number or 0), hash=Digest(str(hashed)))


def _bytes(cell: Cell) -> bytes:
    return cell if isinstance(cell, bytes) else b""
