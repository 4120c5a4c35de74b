"""The outbox: messages stay in it until their receiver's receipt, whatever the broker says.

A row is written in the transaction that decided to send it. It is published at once, after every
reconnect, and at growing intervals while no receipt comes; a message that the broker returned or
would not take is tried again sooner. It is signed and sealed anew each time, by the newest roster:
whatever becomes of keys, a message that its receiver could not open comes again so that it can. One
whose reader's keys are not known yet waits until they are.

A receipt is taken at once, and its row removed a moment later with those of others: what a crash
lets stand is sent once more, and its receiver knows it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from fedmq.clocks import Clock
from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message, decode, encode, read_header, unpack_parcel
from fedmq.messages.envelope import Envelope
from fedmq.transport.journal import Cell, Journal
from fedmq.transport.ports import Properties, Publication, Transport
from fedmq.transport.routes import Route
from fedmq.transport.topology import Lane
from fedmq.transport.wires import Wire

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    message_id TEXT PRIMARY KEY,
    exchange TEXT NOT NULL,
    routing_key TEXT NOT NULL,
    experiment TEXT NOT NULL,
    encoded BLOB NOT NULL,
    is_sealed INTEGER NOT NULL  -- 1: by a version of this program that kept what it had sealed
);
"""
FIRST_REPEAT_S: Final = 300.0
LAST_REPEAT_S: Final = 6 * 3600.0
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0
HASTE_S: Final = 5.0
"""So long after a message was published it is not published again because its reader has spoken."""


@dataclass(slots=True)
class _Letter:
    """A message: to whom, and when it is published next, how long it waits after that."""

    recipient: str
    properties: Properties
    due: float
    published_at: float = -math.inf
    sealed: tuple[int, bytes] | None = None
    """The roster that it is sealed by, and its bytes: until they are published, once."""
    retry_s: float = FIRST_RETRY_S
    repeat_s: float = FIRST_REPEAT_S


class Outbox:
    """What one service has to send and has no receipt for."""

    def __init__(
        self,
        journal: Journal,
        transport: Transport,
        wire: Wire,
        tickets: Iterator[int],
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._wire = wire
        self._transport = transport
        self._tickets = tickets
        self._clock = clock
        self._open: dict[int, str] = {}
        self._refusals: dict[str, str] = {}
        self._settled: set[str] = set()
        """Messages whose receipts came, and whose rows are still there."""
        self._rosters: dict[str, int] = {}
        """By member: the newest roster that it has named."""
        self._is_connected = False
        self._version = wire.version
        now = clock.steady()
        self._letters = {
            str(message_id): _letter(read_header(unpack_parcel(encoded)), due=now)
            for message_id, encoded in journal.rows(
                "SELECT message_id, encoded FROM outbox ORDER BY rowid"
            )
            if isinstance(encoded, bytes)
        }

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def trouble(self) -> str:
        """Why a message is not taken, for people; empty while all are."""
        return next(iter(self._refusals.values()), "")

    def add(self, message: Message, route: Route) -> None:
        """Keep `message` until its receipt; one that is there already is not sent twice."""
        envelope = message.envelope
        # Sealed at once: it says what is wrong with it while there is somebody to hear.
        version, body = self._wire.version, self._sealed(message)
        if envelope.message_id in self._settled:  # it is said anew
            self._forget(envelope.message_id)
        changed = self._journal.execute(
            "INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, ?, ?, ?)",
            (
                envelope.message_id,
                route.exchange,
                route.key(Lane.CONTROL),
                envelope.experiment,
                encode(message),
                False,
            ),
        )
        if changed:
            letter = _letter(envelope, due=self._clock.steady())
            if body is not None and self._is_connected:
                letter.sealed = version, body
            self._letters[envelope.message_id] = letter

    def has(self, message_id: str) -> bool:
        """Return whether a message is here that has no receipt."""
        return self._recipient(message_id) is not None

    def _sealed(self, message: Message) -> bytes | None:
        """Return the bytes of a message, None where its reader's keys are not known yet."""
        envelope = message.envelope.model_copy(update={"roster": self._wire.version})
        try:
            return self._wire.seal(replace(message, envelope=envelope), [envelope.recipient])
        except ProtocolError as error:
            if error.reason != "unknown_reader":
                raise
            return None

    def received(self, message_id: str, *, by: str) -> None:
        """Forget a message whose receipt came.

        Raises:
            ProtocolError: it was not sent to `by`; it stays.
        """
        recipient = self._recipient(message_id)
        if recipient is None:
            return
        if recipient != by:
            raise ProtocolError("not_the_recipient", "the receipt of a message to somebody else")
        self._settled.add(message_id)
        self._letters.pop(message_id, None)
        self._refusals.pop(message_id, None)

    def answered(self, answer: Envelope) -> None:
        """Forget the message that its receiver answers, if it is an answer: the receiver has it."""
        asked = answer.correlation_id
        if asked is not None and self._recipient(asked) == answer.sender:
            self.received(asked, by=answer.sender)

    def heard(self, sender: str, roster: int) -> None:
        """Publish soon what waits for a member that has a newer roster than when it spoke before.

        It may know keys by now that it did not: a person there has agreed to them. That is so once
        for each roster, whatever is said how often.
        """
        known = self._rosters.get(sender, roster)
        self._rosters[sender] = max(known, roster)
        if not known < roster <= self._wire.version:
            return
        for letter in self._letters.values():
            if letter.recipient == sender:
                soon = max(self._clock.steady(), letter.published_at + HASTE_S)
                letter.due, letter.repeat_s = min(letter.due, soon), FIRST_REPEAT_S

    def settle(self) -> None:
        """Remove the rows of all messages whose receipts came: one commit, however many."""
        if not self._settled:
            return
        with self._journal.transaction():
            for message_id in sorted(self._settled):
                self._journal.execute("DELETE FROM outbox WHERE message_id = ?", (message_id,))
        self._settled.clear()

    def _recipient(self, message_id: str) -> str | None:
        letter = self._letters.get(message_id)
        if letter is not None:
            return letter.recipient
        if message_id in self._settled:
            return None
        # Another program of this home may have sent it.
        encoded = self._journal.cell(
            "SELECT encoded FROM outbox WHERE message_id = ?", (message_id,)
        )
        if not isinstance(encoded, bytes):
            return None
        return read_header(unpack_parcel(encoded)).recipient

    def _forget(self, message_id: str) -> None:
        self._journal.execute("DELETE FROM outbox WHERE message_id = ?", (message_id,))
        self._letters.pop(message_id, None)
        self._refusals.pop(message_id, None)
        self._settled.discard(message_id)

    def drop(self, experiment: str, *, keep: str = "") -> None:
        """Forget what was to be sent for an experiment, but not the message `keep`."""
        rows = self._journal.rows(
            "SELECT message_id FROM outbox WHERE experiment = ? AND message_id != ?",
            (experiment, keep),
        )
        for (message_id,) in rows:
            self._forget(str(message_id))

    def connected(self) -> None:
        """Publish everything again."""
        self._is_connected = True
        now = self._clock.steady()
        for letter in self._letters.values():
            letter.due = now
        self.flush()

    def disconnected(self) -> None:
        """Wait for the next connection."""
        self._is_connected = False
        self._open.clear()
        self._refusals.clear()
        for letter in self._letters.values():
            letter.sealed = None

    def confirmed(self, ticket: int) -> None:
        """The broker has it; the receiver may take long, and is asked again in a while."""
        self._refusals.pop(self._open.get(ticket, ""), None)
        letter = self._closed(ticket)
        if letter is not None:
            letter.due = self._clock.steady() + letter.repeat_s
            letter.repeat_s = min(LAST_REPEAT_S, 2 * letter.repeat_s)
            letter.retry_s = FIRST_RETRY_S

    def refused(self, ticket: int, why: str) -> None:
        """The broker would not take it, or has no queue for it (yet)."""
        message_id = self._open.get(ticket, "")
        letter = self._closed(ticket)
        if letter is not None:
            self._refusals[message_id] = f"{why}; it is tried again by itself"
            letter.due = self._clock.steady() + letter.retry_s
            letter.retry_s = min(LAST_RETRY_S, 2 * letter.retry_s)

    def flush(self) -> None:
        """Publish what is due; with a newer roster everything, since keys may be others."""
        if not self._is_connected:
            return
        now = self._clock.steady()
        if self._wire.version != self._version:
            self._version = self._wire.version
            for letter in self._letters.values():
                letter.due = now
        for message_id, letter in list(self._letters.items()):
            if letter.due <= now:
                # Until the broker's word; a word that never comes is a broken connection.
                letter.published_at, letter.due = now, now + LAST_REPEAT_S
                self._publish(message_id, letter)

    def _publish(self, message_id: str, letter: _Letter) -> None:
        rows = self._journal.rows(
            "SELECT exchange, routing_key, encoded, is_sealed FROM outbox WHERE message_id = ?",
            (message_id,),
        )
        if not rows:
            # Its transaction was rolled back.
            del self._letters[message_id]
            return
        exchange, routing_key, encoded, is_sealed = rows[0]
        ticket = next(self._tickets)
        sealed, letter.sealed = letter.sealed, None
        if sealed is not None and sealed[0] == self._wire.version:
            body: bytes | None = sealed[1]
        else:
            body = _bytes(encoded) if is_sealed else self._sealed(decode(_bytes(encoded)))
        self._open[ticket] = message_id
        if body is None:
            self.refused(ticket, f"nobody knows the keys of {letter.recipient} yet")
            return
        self._transport.publish(
            Publication(
                exchange=str(exchange),
                routing_key=str(routing_key),
                body=body,
                properties=letter.properties,
            ),
            ticket,
        )

    def _closed(self, ticket: int) -> _Letter | None:
        message_id = self._open.pop(ticket, None)
        return None if message_id is None else self._letters.get(message_id)


def _letter(envelope: Envelope, *, due: float) -> _Letter:
    return _Letter(recipient=envelope.recipient, properties=properties_of(envelope), due=due)


def _bytes(cell: Cell) -> bytes:
    return cell if isinstance(cell, bytes) else b""


def properties_of(envelope: Envelope) -> Properties:
    """Return the AMQP properties that mirror an envelope, for people and brokers."""
    return Properties(
        type=envelope.type,
        message_id=envelope.message_id,
        correlation_id=envelope.correlation_id or "",
        user_id=envelope.sender,
        app_id="fedmq",
        timestamp=int(envelope.sent_at),
    )
