"""The witness: keeps the heads of the nodes' audit logs, and signs those that go on from others.

A head is kept in the transaction that receives the answer that told it; what is signed is what was
kept, so an answer that comes again gets the same signature.
"""

from dataclasses import dataclass
from typing import Final

from fedmq.audit.log import AuditLog
from fedmq.clocks import Clock
from fedmq.messages.codec import Message
from fedmq.messages.heads import HeadCode, ObjectedHead, SignedHead, ToldHead
from fedmq.messages.replies import Answer
from fedmq.orchestrator.audit_facts import HeadRefused, HeadWitnessed, LogChanged
from fedmq.transport.journal import Journal
from fedmq.transport.wires import Wire

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS witnessed (
    node TEXT NOT NULL,
    log TEXT NOT NULL,
    place INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (node, log, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused_heads (
    node TEXT NOT NULL,
    log TEXT NOT NULL,
    place INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (node, log, place, number, hash)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten_heads (
    node TEXT NOT NULL,
    log TEXT NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (node, log)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptHead:
    """A head of a log that was told in this place."""

    place: int
    number: int
    hash: str
    at_ms: int


def find_objection(told: ToldHead, *neighbours: KeptHead | None) -> HeadCode | None:
    """Return why a head does not go with those kept next to its place; None where it does.

    Later places have later heads, and a place or a number has one head for ever.
    """
    for kept in neighbours:
        if kept is None:
            continue
        if kept.number == told.number and kept.hash != told.hash:
            return HeadCode.REWRITTEN
        is_behind = kept.place > told.place
        goes_on = kept.number >= told.number if is_behind else kept.number <= told.number
        if not goes_on or (kept.place == told.place and kept.number != told.number):
            return HeadCode.WENT_BACK
    return None


class Witness:
    """The heads of all nodes' logs, as one orchestrator keeps them."""

    def __init__(self, journal: Journal, audit: AuditLog, wire: Wire, clock: Clock) -> None:
        self._journal = journal
        self._audit = audit
        self._wire = wire
        self._clock = clock

    def note(self, node: str, told: ToldHead) -> None:
        """Keep a head that goes with the others; inside the transaction that receives it."""
        before, code = self._judge(node, told)
        if code is not None:
            return  # the receipt says so, and the log: this answer may have come before
        if before is not None and before.place == told.place:
            return
        self._note_change(node, told)
        at_ms = max(0, int(self._clock.now() * 1000))
        self._journal.execute(
            "INSERT INTO witnessed VALUES (?, ?, ?, ?, ?, ?)",
            (node, told.log, told.place, told.number, told.hash, at_ms),
        )
        self._audit.note(
            HeadWitnessed(
                node=node, log=told.log, place=told.place, entry=told.number, head=told.hash
            )
        )

    def answer(self, message: Message) -> SignedHead | ObjectedHead | None:
        """Return what the receipt of a message says of the head in it."""
        told = message.body.head if isinstance(message.body, Answer) else None
        if told is None:
            return None
        node = message.envelope.sender
        before, code = self._judge(node, told)
        if code is not None:
            return self._refuse(node, told, code)
        if before is None or before.place != told.place:
            return None  # it was received before heads were kept
        return self._wire.countersign(told, node, at_ms=before.at_ms)

    def _refuse(self, node: str, told: ToldHead, code: HeadCode) -> ObjectedHead:
        kept = self._newest(node, told.log)
        with self._journal.transaction():
            is_new = self._journal.execute(
                "INSERT OR IGNORE INTO refused_heads VALUES (?, ?, ?, ?, ?, ?)",
                (node, told.log, told.place, told.number, told.hash, str(code)),
            )
            if is_new:
                self._audit.note(
                    HeadRefused(
                        node=node,
                        log=told.log,
                        place=told.place,
                        entry=told.number,
                        head=told.hash,
                        code=str(code),
                        kept=kept,
                    )
                )
        return ObjectedHead(log=told.log, number=told.number, code=code, kept=kept)

    def _note_change(self, node: str, told: ToldHead) -> None:
        if self._newest(node, told.log):
            return
        other = self._journal.cell(
            "SELECT log FROM witnessed WHERE node = ? ORDER BY at_ms DESC LIMIT 1", (node,)
        )
        if other is not None:
            self._audit.note(LogChanged(node=node, log=told.log, before=str(other)))

    def _newest(self, node: str, log: str) -> int:
        found = self._journal.cell(
            "SELECT max(number) FROM witnessed WHERE node = ? AND log = ?", (node, log)
        )
        return int(found or 0)

    def _judge(self, node: str, told: ToldHead) -> tuple[KeptHead | None, HeadCode | None]:
        """Return what is kept in a place or next before it, and why the head is not signed."""
        before = self._kept("place <= ? ORDER BY place DESC", node, told)
        behind = self._kept("place > ? ORDER BY place", node, told)
        forgotten = self._journal.cell(
            "SELECT place FROM forgotten_heads WHERE node = ? AND log = ?", (node, told.log)
        )
        if before is None and told.place <= int(forgotten or 0):
            # What was told there is not known any more: whoever tells it now may say anything.
            return None, HeadCode.WENT_BACK
        return before, find_objection(told, before, behind)

    def _kept(self, where: str, node: str, told: ToldHead) -> KeptHead | None:
        rows = self._journal.rows(
            "SELECT place, number, hash, at_ms FROM witnessed"  # noqa: S608 - own words
            f" WHERE node = ? AND log = ? AND {where} LIMIT 1",
            (node, told.log, told.place),
        )
        for place, number, hashed, at_ms in rows:
            return KeptHead(
                place=int(place or 0),
                number=int(number or 0),
                hash=str(hashed),
                at_ms=int(at_ms or 0),
            )
        return None


def forget_witnessed(journal: Journal, *, through: float) -> None:
    """Remove the heads that came up to a moment, but the last place of each node's newest log.

    That one stays however old it is: a node that was away for years goes on from there, or not.
    """
    for (node,) in journal.rows("SELECT DISTINCT node FROM witnessed"):
        ((log, last),) = journal.rows(
            "SELECT log, max(place) FROM witnessed WHERE node = ?1 AND log ="
            " (SELECT log FROM witnessed WHERE node = ?1 ORDER BY at_ms DESC, place DESC LIMIT 1)",
            (node,),
        )
        old = "FROM witnessed WHERE node = ? AND at_ms <= ? AND NOT (log = ? AND place = ?)"
        cells = (node, round(through * 1000), log, last)
        journal.execute(
            f"INSERT INTO forgotten_heads SELECT node, log, max(place) {old} GROUP BY node, log"
            " ON CONFLICT DO UPDATE SET place = max(place, excluded.place)",
            cells,
        )
        journal.execute(f"DELETE {old}", cells)
    journal.execute(
        "DELETE FROM forgotten_heads WHERE NOT EXISTS (SELECT 1 FROM witnessed w"
        " WHERE w.node = forgotten_heads.node AND w.log = forgotten_heads.log)"
    )


def forget_refused(journal: Journal, audit: AuditLog) -> None:
    """Remove the heads that were refused and of which the log tells no more."""
    told = {(one.node, one.log, one.place, one.entry, one.head) for one in audit.facts(HeadRefused)}
    for row in journal.rows("SELECT node, log, place, number, hash FROM refused_heads"):
        if row not in told:
            journal.execute(
                "DELETE FROM refused_heads WHERE node = ? AND log = ? AND place = ?"
                " AND number = ? AND hash = ?",
                row,
            )


def count_witnessed(journal: Journal) -> dict[str, int]:
    """Return the number of the newest head of each node that is kept, whichever its log."""
    rows = journal.rows("SELECT node, max(number) FROM witnessed GROUP BY node ORDER BY node")
    return {str(node): int(number or 0) for node, number in rows}


def count_refused(journal: Journal) -> dict[str, int]:
    """Return how many heads were refused, by node."""
    rows = journal.rows("SELECT node, count(*) FROM refused_heads GROUP BY node ORDER BY node")
    return {str(node): int(number or 0) for node, number in rows}
