"""Seen: which volumes of each dataset its last check looked at; others are not learnt from."""

import json
from collections.abc import Sequence
from typing import Final

from fedmq.imaging.cases import Case
from fedmq.node.inspection import Seen, marks_of
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS seen (
    dataset TEXT PRIMARY KEY,
    volumes TEXT NOT NULL
) WITHOUT ROWID;
"""


class SeenVolumes:
    """What the checks of one node have looked at."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def keep(self, dataset: str, seen: Seen | None) -> None:
        """Note what was looked at; None where there is no dataset of that name any more."""
        self._journal.execute("DELETE FROM seen WHERE dataset = ?", (dataset,))
        if seen is not None:
            self._journal.execute("INSERT INTO seen VALUES (?, ?)", (dataset, json.dumps(seen)))

    def unseen(self, dataset: str, cases: Sequence[Case]) -> frozenset[tuple[str, str]]:
        """Return the volumes that came, or are other files, since the last check.

        Each by case and modality. Of a dataset that was never checked, none.
        """
        text = self._journal.cell("SELECT volumes FROM seen WHERE dataset = ?", (dataset,))
        if text is None:
            return frozenset()
        seen = json.loads(str(text))
        return frozenset(
            (case.case_id, modality)
            for case in cases
            for modality, mark in marks_of(case).items()
            if seen.get(case.case_id, {}).get(modality) != list(mark)
        )
