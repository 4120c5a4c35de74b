"""Cohorts of experiments: settled when the first task of one begins, then kept.

What comes into a dataset later is for the experiments after; what goes has to be withdrawn.
"""

import json
from collections.abc import Collection, Mapping
from typing import Final

import structlog

from fedmq.errors import DatasetError
from fedmq.imaging.cohort import Cohort, cohort_of
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.dictionary.model import Meaning
from fedmq.node.datasets import Dataset
from fedmq.node.meanings import read_by
from fedmq.node.seen import SeenVolumes
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS cohorts (
    experiment TEXT PRIMARY KEY,
    volumes TEXT NOT NULL
) WITHOUT ROWID;
"""

log = structlog.get_logger()


class Cohorts:
    """What the experiments of one node began with."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def settle(
        self,
        experiment: str,
        dataset: Dataset,
        meaning: Meaning | None,
        *,
        spoiled: frozenset[tuple[str, str]],
        seen: SeenVolumes,
        withdrawn: Mapping[str, Collection[str]],
    ) -> Cohort | None:
        """Return the cohort of an experiment: that of its dataset now, unless it has one.

        `withdrawn`: case -> the modalities that it had.

        What came into the dataset since its last check is not in it, and the log says so.

        None where the dataset cannot be read: the trainer finds the same, and says it.
        """
        text = self._journal.cell("SELECT volumes FROM cohorts WHERE experiment = ?", (experiment,))
        if text is None:
            try:
                data_map = read_by(dataset.data_map, meaning)
                cases = find_cases(
                    dataset.folder, dataset.clinical, data_map=data_map, without=withdrawn
                )
            except (DatasetError, OSError):
                return None
            unseen = seen.unseen(dataset.name, cases)
            if unseen:
                fix = f"fedmq node data check {dataset.name}, for the experiments after this one"
                log.warning(
                    "volumes_unchecked", experiment=experiment, volumes=len(unseen), fix=fix
                )
            text = json.dumps(cohort_of(cases, dataset.folder, spoiled | unseen, withdrawn))
            with self._journal.transaction():
                self._journal.execute(
                    "INSERT OR IGNORE INTO cohorts VALUES (?, ?)", (experiment, text)
                )
        cohort: Cohort = json.loads(str(text))
        return cohort

    def forget(self, experiment: str) -> None:
        """Forget the cohort of an experiment that is over."""
        self._journal.execute("DELETE FROM cohorts WHERE experiment = ?", (experiment,))
