"""Heads of a node's log: told with its answers, and kept beside it once the orchestrator signed.

A head is told and kept in the transaction of the message that it goes or comes with. A roster that
vouched for the orchestrator's key is kept with the signature: keys change, proofs stay.
"""

from dataclasses import dataclass
from typing import Final

from fedmq.audit.chain import Head
from fedmq.audit.facts import HeadObjected
from fedmq.audit.log import AuditLog
from fedmq.messages.heads import ObjectedHead, SignedHead, ToldHead
from fedmq.messages.notices import RosterNotice
from fedmq.transport.journal import Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS told_heads (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    log TEXT NOT NULL,
    place INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS countersigned (
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    by TEXT NOT NULL,
    log TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    signature TEXT NOT NULL,
    roster INTEGER,
    PRIMARY KEY (number, hash, by)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vouching_rosters (
    number INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE,
    signature TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Countersigned:
    """A head of this log that an orchestrator has signed, and so keeps."""

    head: SignedHead
    by: str
    roster: RosterNotice | None
    """The one that vouched for the key when the signature came; None where there are no keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """That the orchestrator did not sign a head, as an entry of the log tells."""

    entry: int
    """The number of that entry."""
    at: float
    """Unix seconds, by the clock of this machine."""
    told: HeadObjected


class Heads:
    """What a node told of its log, and what it was answered."""

    def __init__(self, journal: Journal, audit: AuditLog) -> None:
        self._journal = journal
        self._audit = audit

    def tell(self) -> ToldHead | None:
        """Return the head as it is now, in its place; inside the transaction that posts it."""
        head = self._audit.head()
        if not head.number:
            return None
        self._journal.execute(
            "INSERT INTO told_heads SELECT 1, hash, 1 FROM audit WHERE number ="
            " (SELECT min(number) FROM audit)"
            " ON CONFLICT (only) DO UPDATE SET place = place + 1"
        )
        ((log, place),) = self._journal.rows("SELECT log, place FROM told_heads")
        return ToldHead(
            log=Digest(str(log)), place=int(place or 0), number=head.number, hash=head.hash
        )

    def keep(self, head: SignedHead, *, by: str, roster: RosterNotice | None) -> bool:
        """Keep a signature; return whether the head is this log's, else nothing is kept.

        Whether the signature is `by`'s, the caller has looked at.
        """
        with self._journal.transaction():
            found = self._journal.cell("SELECT hash FROM audit WHERE number = ?", (head.number,))
            if found != head.hash:
                return False
            self._journal.execute(
                "INSERT OR REPLACE INTO countersigned VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    head.number,
                    head.hash,
                    by,
                    head.log,
                    head.at_ms,
                    head.signature,
                    None if roster is None else self._number_of(roster),
                ),
            )
        return True

    def object(self, head: ObjectedHead) -> bool:
        """Note that a head is not signed, and tell of a new log from there on; return whether so.

        The orchestrator keeps a later or another end of the old one, which is not to be had again:
        that is told once, by an entry, and what comes behind it can be signed.
        """
        with self._journal.transaction():
            if self._journal.cell("SELECT log FROM told_heads") != head.log:
                return False  # of before
            fact = HeadObjected(code=str(head.code), entry=head.number, kept=head.kept)
            begun = self._audit.note(fact)
            self._journal.execute("UPDATE told_heads SET log = ?, place = 0", (begun.hash,))
        return True

    def forget(self, *, through: int) -> None:
        """Remove the signatures of the entries up to this number, and rosters that no other needs.

        In the transaction that removes the entries.
        """
        self._journal.execute("DELETE FROM countersigned WHERE number <= ?", (through,))
        self._journal.execute(
            "DELETE FROM vouching_rosters WHERE number NOT IN"
            " (SELECT roster FROM countersigned WHERE roster IS NOT NULL)"
        )

    def objections(self) -> tuple[Objection, ...]:
        """Return what the orchestrator objected to, the newest at the end."""
        return tuple(
            Objection(entry=entry.number, at=entry.at, told=fact)
            for entry, fact in self._audit.told(HeadObjected)
        )

    def lost(self) -> tuple[int, ...]:
        """Return the numbers of entries that others have signed and this log has no more.

        That takes no hash: whether all of the log is what was written, `verify_records` says.
        """
        rows = self._journal.rows(
            "SELECT DISTINCT c.number FROM countersigned c LEFT JOIN audit a"
            " ON a.number = c.number AND a.hash = c.hash WHERE a.number IS NULL ORDER BY c.number"
        )
        return tuple(int(number or 0) for (number,) in rows)

    def countersigned(self, first: int = 1) -> tuple[Countersigned, ...]:
        """Return the heads from entry `first` on that others have signed, the oldest first."""
        rows = self._journal.rows(
            "SELECT c.number, c.hash, by, log, at_ms, c.signature, content, r.signature"
            " FROM countersigned c LEFT JOIN vouching_rosters r ON c.roster = r.number"
            " WHERE c.number >= ? ORDER BY c.number, by",
            (first,),
        )
        return tuple(
            Countersigned(
                head=SignedHead(
                    log=Digest(str(log)),
                    number=int(number or 0),
                    hash=Digest(str(hashed)),
                    at_ms=int(at_ms or 0),
                    signature=str(signature),
                ),
                by=str(by),
                roster=None
                if content is None
                else RosterNotice(content=str(content), signature=str(sealed)),
            )
            for number, hashed, by, log, at_ms, signature, content, sealed in rows
        )

    def heads(self) -> tuple[Head, ...]:
        """Return the heads that others have signed: this log has to have all of them."""
        return tuple(
            Head(number=one.head.number, hash=one.head.hash) for one in self.countersigned()
        )

    def _number_of(self, roster: RosterNotice) -> int:
        self._journal.execute(
            "INSERT OR IGNORE INTO vouching_rosters (content, signature) VALUES (?, ?)",
            (roster.content, roster.signature),
        )
        found = self._journal.cell(
            "SELECT number FROM vouching_rosters WHERE content = ?", (roster.content,)
        )
        return int(found or 0)
