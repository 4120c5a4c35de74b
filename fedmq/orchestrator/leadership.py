"""Leadership: which program leads the experiments of a store, as the store itself knows it.

Each program that begins to lead writes an epoch that is higher than all before, and asks before
everything that it writes or sends whether that is still the newest. SQLite lets one program write
at a time, so whoever was replaced can write nothing more, however long it slept. What it has sent
already, nodes know by its epoch.
"""

from typing import Final

from fedmq.errors import LeaseLost
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS leadership (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch INTEGER NOT NULL,
    leader TEXT NOT NULL,
    since REAL NOT NULL  -- Unix seconds, for people
);
"""


class Leadership:
    """The right of one program to lead, for as long as nobody has taken over."""

    def __init__(self, journal: Journal, leader: str, *, now: float) -> None:
        """Take over; from here on nobody else can write in the journal.

        The wall's clock gives the least epoch: in a store that was put back from a copy it is
        higher than those that its lost life used.
        """
        self._journal = journal
        self.leader = leader
        with journal.transaction():
            self.epoch = max(read_epoch(journal) + 1, int(now))
            journal.execute(
                "INSERT OR REPLACE INTO leadership VALUES (1, ?, ?, ?)", (self.epoch, leader, now)
            )
        journal.guard(self.require)

    def require(self) -> None:
        """Return if this program leads.

        Raises:
            LeaseLost: another has taken over.
        """
        if read_epoch(self._journal) != self.epoch:
            leader = str(self._journal.cell("SELECT leader FROM leadership") or "other program")
            raise LeaseLost(
                "another program has taken over the experiments",
                why=f"the {leader} leads them: this one gave no sign in time",
                fix="nothing, where a stand-by was meant to; else end one of the two",
            )


def read_epoch(journal: Journal) -> int:
    """Return the newest epoch of a store, 0 where nobody has led."""
    return int(journal.cell("SELECT epoch FROM leadership") or 0)
