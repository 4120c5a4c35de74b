"""Meanings: the data dictionary by which a dataset's clinical table is read, and the site's words.

Both are kept as they were read: whoever changes a file says so with a command.
"""

from typing import Final

from fedmq.imaging.dictionary.model import Meaning
from fedmq.transport.journal import Journal
from fedmq.types import Digest

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meanings (
    dataset TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    content TEXT NOT NULL
) WITHOUT ROWID;
"""


class Meanings:
    """By which dictionary each dataset of one node is read."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def keep(self, dataset: str, meaning: Meaning | None) -> None:
        """Let a dataset be read by a dictionary from now on, or by none."""
        self._journal.execute("DELETE FROM meanings WHERE dataset = ?", (dataset,))
        if meaning is not None:
            self._journal.execute(
                "INSERT INTO meanings VALUES (?, ?, ?)",
                (dataset, meaning.dictionary.digest, meaning.model_dump_json()),
            )

    def of(self, dataset: str) -> Meaning | None:
        """Return by what a dataset is read, None where it has no dictionary."""
        content = self._journal.cell("SELECT content FROM meanings WHERE dataset = ?", (dataset,))
        return None if content is None else Meaning.model_validate_json(str(content))

    def digest(self, dataset: str) -> Digest | None:
        """Return the digest of a dataset's dictionary, None where it has none."""
        found = self._journal.cell("SELECT digest FROM meanings WHERE dataset = ?", (dataset,))
        return None if found is None else Digest(str(found))
