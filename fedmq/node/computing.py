"""How an experiment is computed on this node: settled when its first task begins, then kept.

Another number of threads adds in another order, so that a task which is done again has to have the
number that it had, whatever the operator has set meanwhile.
"""

from typing import Final

from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS computing (
    experiment TEXT PRIMARY KEY,
    num_threads INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Computing:
    """What is settled about the experiments of one node."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def settle(self, experiment: str, *, asked: int, most: int) -> int:
        """Return the threads of an experiment's tasks: as many as it asks for, `most` at most.

        What was settled once stays.
        """
        self._journal.execute(
            "INSERT OR IGNORE INTO computing VALUES (?, ?)", (experiment, min(asked, most))
        )
        rows = self._journal.own_rows(
            "SELECT num_threads FROM computing WHERE experiment = ?", (experiment,)
        )
        return int(rows[0][0] or 0)

    def forget(self, experiment: str) -> None:
        """Forget what is settled of an experiment that is over."""
        self._journal.execute("DELETE FROM computing WHERE experiment = ?", (experiment,))
