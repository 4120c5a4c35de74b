"""Told: what nodes tell of their data, as each did last; it outlives the process."""

import json
from collections.abc import Sequence
from typing import Final

from fedmq.messages.data import DatasetSummary
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS told (
    node TEXT PRIMARY KEY,
    datasets TEXT NOT NULL
) WITHOUT ROWID;
"""


class Told:
    """What one orchestrator was told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def keep(self, node: str, datasets: Sequence[DatasetSummary]) -> None:
        """Note what a node tells now; what it told before is forgotten."""
        content = json.dumps([one.model_dump(mode="json") for one in datasets])
        if content == self._content(node):
            return
        with self._journal.transaction():
            self._journal.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (node, content))

    def of(self, node: str) -> list[DatasetSummary]:
        """Return what a node told last; nothing where it told nothing."""
        return [DatasetSummary.model_validate(one) for one in json.loads(self._content(node))]

    def _content(self, node: str) -> str:
        found = self._journal.cell("SELECT datasets FROM told WHERE node = ?", (node,))
        return "[]" if found is None else str(found)
