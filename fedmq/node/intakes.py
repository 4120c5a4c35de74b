"""Intakes of experiments: settled when the first task of one begins, then kept.

What comes into a dataset later is for the experiments after; what goes has to be withdrawn.
"""

import json
from collections.abc import Callable
from typing import Final

from fedmq.imaging.intake import Intake
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS intakes (
    experiment TEXT PRIMARY KEY,
    volumes TEXT NOT NULL
) WITHOUT ROWID;
"""


class Intakes:
    """What the experiments of one node began with."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def settle(self, experiment: str, now: Callable[[], Intake]) -> Intake:
        """Return the intake of an experiment: the one of `now`, unless it has one."""
        with self._journal.transaction():
            select = "SELECT volumes FROM intakes WHERE experiment = ?"
            text = self._journal.cell(select, (experiment,))
            if text is None:
                text = json.dumps(now())
                self._journal.execute("INSERT INTO intakes VALUES (?, ?)", (experiment, text))
        return {
            case_id: {modality: tuple(volume) for modality, volume in volumes.items()}
            for case_id, volumes in json.loads(str(text)).items()
        }

    def forget(self, experiment: str) -> None:
        """Forget the intake of an experiment that is over."""
        self._journal.execute("DELETE FROM intakes WHERE experiment = ?", (experiment,))
