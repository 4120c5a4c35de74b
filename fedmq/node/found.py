"""Found: what was found in each dataset at its last check, of which a part may be told."""

from collections.abc import Callable, Collection
from typing import Final

import structlog

from fedmq.messages.data import MAX_SUMMARIES, DatasetSummary
from fedmq.messages.fields import DictionaryReference
from fedmq.node.meanings import Meanings
from fedmq.node.policy import Policy
from fedmq.node.summaries import Findings, summarise
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS found (
    dataset TEXT PRIMARY KEY,
    findings TEXT NOT NULL
) WITHOUT ROWID;
"""
_SELECT: Final = (
    "SELECT dataset, findings FROM found JOIN datasets ON name = dataset ORDER BY dataset"
)

log = structlog.get_logger()


class Found:
    """What one node found in its datasets."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def keep(self, dataset: str, findings: Findings | None) -> None:
        """Note what a dataset is like now; None where there is none of that name any more."""
        self._journal.execute("DELETE FROM found WHERE dataset = ?", (dataset,))
        if findings is not None:
            self._journal.execute(
                "INSERT INTO found VALUES (?, ?)", (dataset, findings.model_dump_json())
            )

    def withdraw(self, dataset: str, modalities: Collection[str]) -> None:
        """A case that had these volumes is not counted any more; call it once for each."""
        found = self._journal.cell("SELECT findings FROM found WHERE dataset = ?", (dataset,))
        if found is not None:
            self.keep(dataset, Findings.model_validate_json(str(found)).without(modalities))

    def tell(self, meanings: Meanings, policy: Policy) -> list[DatasetSummary]:
        """Return what the policy lets others know of the datasets; by name."""
        if not policy.tells_data:
            return []
        rows = self._journal.rows(_SELECT)
        return [
            summarise(
                str(dataset),
                Findings.model_validate_json(str(findings)),
                _reference(meanings, str(dataset)),
                least_cell=policy.least_cell,
            )
            for dataset, findings in rows
        ]


def _reference(meanings: Meanings, dataset: str) -> DictionaryReference | None:
    meaning = meanings.of(dataset)
    if meaning is None:
        return None
    said = meaning.dictionary
    return DictionaryReference(name=said.name, version=said.version, digest=said.digest)


class Telling:
    """What was said last of the data, to see whether something else is to be said now."""

    def __init__(self, tell: Callable[[], list[DatasetSummary]]) -> None:
        self._tell = tell
        self._said: list[DatasetSummary] | None = None

    def say(self) -> list[DatasetSummary]:
        """Return what is to be said now; it counts as said. Of more than fit, the first by name."""
        told = self._tell()
        if told != self._said and len(told) > MAX_SUMMARIES:
            fix = f"researchers are told of {MAX_SUMMARIES} datasets: remove some"
            log.warning("datasets_not_told", fix=fix)
        self._said = told
        return told[:MAX_SUMMARIES]

    @property
    def has_changed(self) -> bool:
        """Whether something was said, and is not so any more."""
        return self._said is not None and self._tell() != self._said
