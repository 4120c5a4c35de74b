"""Counters: what was sent to whom and taken from whom, so that nothing is taken twice.

Messages that are kept until their receipt are counted for each recipient: 1, 2, 3. Who received
them notes which numbers came, as ranges, for ever: a copy of a message whose id was forgotten long
ago is known by its number. No clock is asked. A journal that is begun anew counts
from 1 again, and says so by the name of its stream, which is random. A service, which has its home
for itself, begins a stream with each life: so a journal that was put back from a copy uses no
number twice. Programs of a researcher may be many and short, side by side; theirs is one stream.

Messages that may be lost carry the number of the sender's life, which each start of a program makes
one larger, and a number within it; of each life only growing numbers are taken. They are forgotten
by a restart: a copy changes little, and the next true one overtakes it.
"""

from typing import Final

from fedmq.errors import StorageError
from fedmq.messages.envelope import Envelope
from fedmq.transport.home import Home
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counted_out (
    recipient TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted_in (
    sender TEXT NOT NULL,
    stream TEXT NOT NULL,
    recipient TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (sender, stream, recipient, first)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lives (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    number INTEGER NOT NULL,
    stream TEXT NOT NULL
);
"""
_STREAM: Final = "sender = ? AND stream = ? AND recipient = ?"
_LIFE_SHIFT: Final = 32
BEACON: Final = 2**31
"""Numbers within a life from here on are of its beacon."""
_LIVES_KNOWN: Final = 8
"""Of a member, whose programs may run side by side; what is older than these is an old copy."""


class Counters:
    """The numbers of one service."""

    def __init__(self, journal: Journal, *, is_alone: bool = False) -> None:
        """Begin a life, and with it a stream if no other program has the journal."""
        self._journal = journal
        with journal.transaction():
            journal.execute(
                "INSERT INTO lives VALUES (1, 1, lower(hex(randomblob(8))))"
                " ON CONFLICT (only) DO UPDATE SET number = number + 1"
            )
            if is_alone:
                journal.execute("UPDATE lives SET stream = lower(hex(randomblob(8)))")
                journal.execute("DELETE FROM counted_out")
            self._life = read_life(journal)
            self.stream = str(journal.cell("SELECT stream FROM lives"))
        self._told = 0
        self._heard: dict[tuple[str, str], dict[int, int]] = {}

    def next_for(self, recipient: str) -> int:
        """Return the number of the next kept message to `recipient`; inside its transaction."""
        self._journal.execute(
            "INSERT INTO counted_out VALUES (?, 1)"
            " ON CONFLICT (recipient) DO UPDATE SET last = last + 1",
            (recipient,),
        )
        found = self._journal.cell("SELECT last FROM counted_out WHERE recipient = ?", (recipient,))
        return int(found or 0)

    def has(self, envelope: Envelope) -> bool:
        """Return whether a kept message with this number was taken from its sender."""
        found = self._journal.cell(
            f"SELECT 1 FROM counted_in WHERE {_STREAM} AND first <= ? AND last >= ?",  # noqa: S608
            (*_stream_of(envelope), envelope.counter, envelope.counter),
        )
        return found is not None

    def take(self, envelope: Envelope) -> None:
        """Note the number of a kept message; inside the transaction that receives it."""
        counter = envelope.counter
        if counter == 0 or self.has(envelope):
            return
        stream = _stream_of(envelope)
        first = self._journal.cell(
            f"SELECT first FROM counted_in WHERE {_STREAM} AND last = ?",  # noqa: S608
            (*stream, counter - 1),
        )
        last = self._journal.cell(
            f"SELECT last FROM counted_in WHERE {_STREAM} AND first = ?",  # noqa: S608
            (*stream, counter + 1),
        )
        if last is not None:
            self._journal.execute(
                f"DELETE FROM counted_in WHERE {_STREAM} AND first = ?",  # noqa: S608
                (*stream, counter + 1),
            )
        self._journal.execute(
            "INSERT OR REPLACE INTO counted_in VALUES (?, ?, ?, ?, ?)",
            (*stream, counter if first is None else first, counter if last is None else last),
        )

    def next_sign(self) -> int:
        """Return the number of the next message that may be lost."""
        self._told += 1
        return (self._life << _LIFE_SHIFT) | self._told

    def is_news(self, envelope: Envelope) -> bool:
        """Return whether a message that may be lost is newer than those before; note it."""
        counter = envelope.counter
        life, number = counter >> _LIFE_SHIFT, counter & (2**_LIFE_SHIFT - 1)
        lives = self._heard.setdefault((envelope.sender, envelope.stream), {})
        if number <= lives.get(life, 0):
            return False
        if life not in lives and len(lives) >= _LIVES_KNOWN:
            oldest = min(lives)
            if life < oldest:
                return False
            del lives[oldest]
        lives[life] = number
        return True


def _stream_of(envelope: Envelope) -> tuple[str, str, str]:
    return envelope.sender, envelope.stream, envelope.recipient


def read_life(journal: Journal) -> int:
    """Return the number of the newest life that a journal knows of, 0 if of none."""
    return int(journal.cell("SELECT number FROM lives") or 0)


def life_of(home: Home) -> int:
    """Return the newest life of a program by what it keeps; 0 where that cannot be read."""
    try:
        journal = home.journal(SCHEMA)
    except StorageError:
        return 0
    try:
        return read_life(journal)
    finally:
        journal.close()


def beacon_sign(life: int, number: int) -> int:
    """Return a number for a beacon, which stands between a life and the next one."""
    return (life << _LIFE_SHIFT) | (BEACON + number)
