"""Epochs: who leads each experiment, and the highest epoch that was said for it, for ever.

An experiment has one orchestrator, the one that its researcher chose; no other one ends it.
A program that takes over the experiments of another has a higher one. What the other still sends,
because it was only asleep, is taken no more.
"""

from typing import Final

from fedmq.errors import ProtocolError
from fedmq.messages.envelope import Envelope
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS epochs (
    orchestrator TEXT NOT NULL,
    experiment TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (orchestrator, experiment)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaders (
    experiment TEXT PRIMARY KEY,
    orchestrator TEXT NOT NULL
) WITHOUT ROWID;
"""


class Epochs:
    """What one node knows of who leads."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def highest(self, orchestrator: str, experiment: str) -> int:
        """Return the highest epoch that was said for an experiment; 0 where none was."""
        rows = self._journal.own_rows(
            "SELECT epoch FROM epochs WHERE orchestrator = ? AND experiment = ?",
            (orchestrator, experiment),
        )
        return int(rows[0][0] or 0) if rows else 0

    def leader(self, experiment: str) -> str | None:
        """Return who leads an experiment; None where nothing was ordered yet."""
        rows = self._journal.own_rows(
            "SELECT orchestrator FROM leaders WHERE experiment = ?", (experiment,)
        )
        return str(rows[0][0]) if rows else None

    def note_leader(self, experiment: str, orchestrator: str) -> None:
        """Note whom an experiment was given to; the first word counts."""
        self._journal.execute(
            "INSERT OR IGNORE INTO leaders VALUES (?, ?)", (experiment, orchestrator)
        )

    def admit(self, envelope: Envelope) -> None:
        """Return if who sent a message leads its experiment, as far as is known.

        An epoch is noted if it is higher.

        Raises:
            ProtocolError: led_by_another; or superseded: it was led with a higher epoch already.
        """
        leader = self.leader(envelope.experiment)
        if leader not in {None, envelope.sender}:
            raise ProtocolError(
                "led_by_another", f"{leader} leads {envelope.experiment}, not {envelope.sender}"
            )
        highest = self.highest(envelope.sender, envelope.experiment)
        if envelope.epoch < highest:
            raise ProtocolError(
                "superseded", f"epoch {envelope.epoch} came, {highest} leads {envelope.experiment}"
            )
        if envelope.epoch > highest:
            # By itself: whoever takes the message may wait long for its model.
            self._journal.execute(
                "INSERT OR REPLACE INTO epochs VALUES (?, ?, ?)",
                (envelope.sender, envelope.experiment, envelope.epoch),
            )
