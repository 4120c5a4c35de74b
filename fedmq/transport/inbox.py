"""The inbox: what was received, what waits for its payload, what was turned away and why."""

from dataclasses import dataclass
from typing import Final, Self

from fedmq.clocks import Clock
from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Manifest
from fedmq.messages.registry import payload_of
from fedmq.transport import received, taken
from fedmq.transport.counters import Counters
from fedmq.transport.journal import Cell, Journal
from fedmq.transport.ports import Delivery
from fedmq.transport.received import Received
from fedmq.transport.taken import Taken
from fedmq.types import Digest

_OWN: Final = """
CREATE TABLE IF NOT EXISTS waiting (
    sender TEXT NOT NULL,
    message_id TEXT NOT NULL,
    experiment TEXT NOT NULL,
    exchange TEXT NOT NULL,
    digest TEXT NOT NULL,  -- of the payload that the message waits for
    encoded BLOB NOT NULL,
    PRIMARY KEY (sender, message_id)
);
CREATE INDEX IF NOT EXISTS waiting_for ON waiting (digest);
CREATE TABLE IF NOT EXISTS rejected (
    at REAL NOT NULL,
    queue TEXT NOT NULL,
    sender TEXT NOT NULL,
    reason TEXT NOT NULL,
    size_bytes INTEGER NOT NULL
);
"""
SCHEMA: Final = received.SCHEMA + taken.SCHEMA + _OWN
MAX_REJECTED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """Why a message was turned away, and what is known of it; nobody vouches for its kind."""

    reason: str
    queue: str
    """Or the exchange it came through, where it had waited for its payload since."""
    kind: str
    sender: str
    """As the broker vouches; empty where it does not."""
    size_bytes: int

    @classmethod
    def of_delivery(cls, delivery: Delivery, reason: str) -> Self:
        """Return what is known of what came."""
        return cls(
            reason=reason,
            queue=delivery.queue,
            kind=delivery.properties.type,
            sender=delivery.properties.user_id,
            size_bytes=len(delivery.body),
        )

    @classmethod
    def of_waiting(cls, message: Message, exchange: str, reason: str) -> Self:
        """Return what is known of a message that waited for its payload."""
        envelope = message.envelope
        return cls(
            reason=reason,
            queue=exchange,
            kind=envelope.type,
            sender=envelope.sender,
            size_bytes=0,
        )


class Inbox:
    """What one service has received."""

    def __init__(self, journal: Journal, counters: Counters, clock: Clock) -> None:
        self._journal = journal
        self._counters = counters
        self._clock = clock
        self.received = Received(journal, clock)
        self.taken = Taken(journal)
        self.bytes_of: dict[tuple[str, str], int] = {}
        """By exchange and experiment: bytes of chunks that came in this life."""

    def is_received(self, envelope: Envelope) -> bool:
        """Return whether the message was received, with its payload."""
        return self.received.has(envelope) or self._counters.has(envelope)

    def has(self, envelope: Envelope) -> bool:
        """Return whether the message was received, or is here and waits for its payload."""
        return self.is_received(envelope) or self._is_waiting(envelope)

    def receive(self, envelope: Envelope) -> None:
        """Note a message as received; it waits no more."""
        self.received.add(envelope)
        self._counters.take(envelope)
        self._journal.execute(
            "DELETE FROM waiting WHERE sender = ? AND message_id = ?",
            (envelope.sender, envelope.message_id),
        )

    def wait(self, message: Message, exchange: str) -> None:
        """Keep a message until its payload is here."""
        envelope, manifest = message.envelope, payload_of(message.body)
        self._journal.execute(
            "INSERT OR IGNORE INTO waiting VALUES (?, ?, ?, ?, ?, ?)",
            (
                envelope.sender,
                envelope.message_id,
                envelope.experiment,
                exchange,
                "" if manifest is None else manifest.digest,
                encode(message),
            ),
        )

    def waiting(self) -> list[tuple[str, Message]]:
        """Return the messages that wait, each with the exchange it came through."""
        return waiting_messages(self._journal)

    def waiting_for(self, digest: Digest) -> list[tuple[str, Message]]:
        """Return the messages that wait for a payload, each with the exchange it came through."""
        rows = self._journal.rows(
            "SELECT exchange, encoded FROM waiting WHERE digest = ? ORDER BY rowid", (digest,)
        )
        return _decoded(rows)

    def awaited(self) -> set[Digest]:
        """Return the payloads that messages wait for."""
        rows = self._journal.rows("SELECT DISTINCT digest FROM waiting")
        return {Digest(str(digest)) for (digest,) in rows}

    def drop(self, experiment: str) -> None:
        """Await nothing more for an experiment."""
        self._journal.execute("DELETE FROM waiting WHERE experiment = ?", (experiment,))

    def note_rejected(self, one: TurnedAway) -> None:
        """Note what was turned away; the oldest notes go when there are too many."""
        with self._journal.transaction():
            self._journal.execute(
                "INSERT INTO rejected VALUES (?, ?, ?, ?, ?)",
                (self._clock.now(), one.queue, one.sender, one.reason, one.size_bytes),
            )
            self._journal.execute(
                "DELETE FROM rejected WHERE rowid <= (SELECT max(rowid) FROM rejected) - ?",
                (MAX_REJECTED,),
            )

    def count_bytes(self, exchange: str, experiment: str, size_bytes: int) -> None:
        """Count bytes that came for an experiment."""
        way = (exchange, experiment)
        self.bytes_of[way] = self.bytes_of.get(way, 0) + size_bytes

    def _is_waiting(self, envelope: Envelope) -> bool:
        found = self._journal.cell(
            "SELECT 1 FROM waiting WHERE sender = ? AND message_id = ?",
            (envelope.sender, envelope.message_id),
        )
        return found is not None


def waiting_messages(journal: Journal) -> list[tuple[str, Message]]:
    """Return the messages that wait for their payloads, each with the exchange it came through."""
    return _decoded(journal.rows("SELECT exchange, encoded FROM waiting ORDER BY rowid"))


def _decoded(rows: list[tuple[Cell, ...]]) -> list[tuple[str, Message]]:
    return [(str(row[0]), decode(row[1])) for row in rows if isinstance(row[1], bytes)]


def awaited_payloads(journal: Journal) -> dict[Digest, Manifest]:
    """Return the payloads that messages wait for."""
    manifests = [payload_of(message.body) for _, message in waiting_messages(journal)]
    return {one.digest: one for one in manifests if one is not None}


def count_rejected(journal: Journal) -> dict[str, int]:
    """Return how many messages were turned away for each reason, by its name."""
    rows = journal.rows("SELECT reason, count(*) FROM rejected GROUP BY reason ORDER BY reason")
    return {str(reason): int(count or 0) for reason, count in rows}
