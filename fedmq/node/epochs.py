"""Epochs: of each experiment the highest epoch that its orchestrator has said, for ever.

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

    def admit(self, envelope: Envelope) -> None:
        """Return if nobody has taken over from who sent a message; note its epoch if it is higher.

        Raises:
            ProtocolError: superseded; the experiment was led with a higher epoch already.
        """
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
