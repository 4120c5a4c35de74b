"""What was taken, by its digest: another message under a number that was taken is no repeat."""

import hashlib
from dataclasses import replace
from typing import Final

from fedmq.messages.codec import Message, encode
from fedmq.transport.journal import Cell, Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS taken (
    sender TEXT NOT NULL,
    stream TEXT NOT NULL,
    recipient TEXT NOT NULL,
    counter INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (sender, stream, recipient, counter)
);
"""
MAX_TAKEN: Final = 10_000
"""Of older ones only the numbers are known."""


class Taken:
    """The digests of the kept messages that one service took last."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, message: Message) -> None:
        """Note what a message says; inside the transaction that takes it."""
        self._journal.execute(
            "INSERT OR IGNORE INTO taken VALUES (?, ?, ?, ?, ?)",
            (*_number_of(message), _digest(message)),
        )
        self._journal.execute(
            "DELETE FROM taken WHERE rowid <= (SELECT max(rowid) FROM taken) - ?", (MAX_TAKEN,)
        )

    def contradicts(self, message: Message) -> bool:
        """Return whether something else was taken under the message's number."""
        found = self._journal.cell(
            "SELECT digest FROM taken"
            " WHERE sender = ? AND stream = ? AND recipient = ? AND counter = ?",
            _number_of(message),
        )
        return found is not None and found != _digest(message)


def _number_of(message: Message) -> tuple[Cell, ...]:
    envelope = message.envelope
    return envelope.sender, envelope.stream, envelope.recipient, envelope.counter


def _digest(message: Message) -> str:
    """Return the digest of all but what is of the hour of sending: the roster, the epoch."""
    now = {"roster": 0, "roster_hash": "-", "epoch": 0}
    envelope = message.envelope.model_copy(update=now)
    return hashlib.sha256(encode(replace(message, envelope=envelope))).hexdigest()
