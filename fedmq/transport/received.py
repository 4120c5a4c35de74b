"""The ids of received messages: a message that comes again is known by its sender and its id.

They stay as long as a repeat would change something. Of an experiment that is over nothing changes
anything, but what its researcher sent: a submission begins an experiment. What belongs to no
experiment (a question, an answer, a ping) may come twice without harm, and is kept for some days.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from fedmq.clocks import Clock
from fedmq.messages.envelope import Envelope
from fedmq.transport.journal import Cell, Journal
from fedmq.types import NOWHERE

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS received (
    sender TEXT NOT NULL,
    message_id TEXT NOT NULL,
    experiment TEXT NOT NULL,
    at REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (sender, message_id)
) WITHOUT ROWID;
"""
NOBODY: Final = ""
"""No sender has this name."""


class Received:
    """What one service has received."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def has(self, envelope: Envelope) -> bool:
        """Return whether the message was received, with its payload."""
        found = self._journal.cell(
            "SELECT 1 FROM received WHERE sender = ? AND message_id = ?",
            (envelope.sender, envelope.message_id),
        )
        return found is not None

    def add(self, envelope: Envelope) -> None:
        """Note a message as received."""
        self._journal.execute(
            "INSERT OR IGNORE INTO received (sender, message_id, experiment, at)"
            " VALUES (?, ?, ?, ?)",
            (envelope.sender, envelope.message_id, envelope.experiment, self._clock.now()),
        )

    def assign(self, envelope: Envelope, experiment: str) -> None:
        """Keep the id of a message as long as if it were of an experiment."""
        self._journal.execute(
            "UPDATE received SET experiment = ? WHERE sender = ? AND message_id = ?",
            (experiment, envelope.sender, envelope.message_id),
        )

    def forget(self, over: Mapping[str, str], *, before: float) -> None:
        """Forget what a repeat would change nothing of.

        `over` names the experiments that are over, each with the sender whose ids stay.
        """
        for which, cells in self._disused(over, before):
            self._journal.execute(f"DELETE FROM received WHERE {which}", cells)  # noqa: S608 - own

    def num_disused(self, over: Mapping[str, str], *, before: float) -> int:
        """Return how many ids `forget` would forget."""
        counts = (
            self._journal.cell(f"SELECT count(*) FROM received WHERE {which}", cells)  # noqa: S608 - own
            for which, cells in self._disused(over, before)
        )
        return sum(int(count or 0) for count in counts)

    def _disused(
        self, over: Mapping[str, str], before: float
    ) -> Iterator[tuple[str, tuple[Cell, ...]]]:
        yield "experiment = ? AND at < ?", (NOWHERE, before)
        for (experiment,) in self._journal.rows("SELECT DISTINCT experiment FROM received"):
            if experiment in over:
                yield "experiment = ? AND sender != ?", (experiment, over[str(experiment)])
