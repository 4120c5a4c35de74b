"""Datasets: what a node's operator has registered for experiments, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.checks import Finding, check_case
from fedmq.imaging.datasets import find_cases
from fedmq.transport.journal import Journal
from fedmq.types import parse_id

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS datasets (
    name TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    clinical TEXT,
    num_cases INTEGER NOT NULL,
    added_at REAL NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of cases under the name that experiments use."""

    name: str
    folder: Path
    clinical: Path | None
    num_cases: int
    added_at: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in a dataset: its cases, and what is wrong with them."""

    cases: tuple[Case, ...]
    findings: tuple[Finding, ...]

    @property
    def num_sound(self) -> int:
        """How many cases nothing was found against."""
        return len(self.cases) - len({finding.case_id for finding in self.findings})


class Datasets:
    """The registered datasets of one node; the command line and the service share them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(
        self,
        name: str,
        folder: Path,
        clinical: Path | None,
        *,
        now: float,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> Inspection:
        """Register the cases of a folder; return what was found in them.

        Raises:
            ConfigurationError: the name is taken or cannot be one.
            DatasetError: the folder holds no case that can be used.
        """
        parse_id(name, kind="dataset")
        if self.find(name) is not None:
            raise ConfigurationError(
                f"there is a dataset {name} already",
                why="experiments name it, so it is not replaced in passing",
                fix=f"fedmq node data remove {name}",
            )
        inspection = inspect(folder, clinical, progress)
        if not inspection.cases:
            raise DatasetError(
                "the folder holds no case",
                code="empty",
                why="a case is a folder with PET, CT or MASK as NIfTI, or a row of clinical.csv",
                fix="name the folder that holds one folder for each case",
            )
        if not inspection.num_sound:
            first = inspection.findings[0]
            raise DatasetError(
                "no case of the folder can be used",
                code=first.code,
                case=first.case_id,
                why=f"{first.case_id}: {first.text}",
                fix="mend the files; fedmq node data add shows all that is wrong",
            )
        self._journal.execute(
            "INSERT INTO datasets VALUES (?, ?, ?, ?, ?)",
            (
                name,
                str(folder.resolve()),
                None if clinical is None else str(clinical.resolve()),
                len(inspection.cases),
                now,
            ),
        )
        return inspection

    def find(self, name: str) -> Dataset | None:
        """Return a dataset, None where there is none of that name."""
        return next((dataset for dataset in self.all() if dataset.name == name), None)

    def all(self) -> tuple[Dataset, ...]:
        """Return all datasets, by name."""
        rows = self._journal.rows(
            "SELECT name, folder, clinical, num_cases, added_at FROM datasets ORDER BY name"
        )
        return tuple(
            Dataset(
                name=str(name),
                folder=Path(str(folder)),
                clinical=None if clinical is None else Path(str(clinical)),
                num_cases=int(num_cases or 0),
                added_at=float(added_at or 0.0),
            )
            for name, folder, clinical, num_cases, added_at in rows
        )

    def remove(self, name: str) -> None:
        """Forget a dataset; its files stay where they are.

        Raises:
            ConfigurationError: there is none of that name.
        """
        if not self._journal.execute("DELETE FROM datasets WHERE name = ?", (name,)):
            raise unknown_dataset(name)


def inspect(
    folder: Path,
    clinical: Path | None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Inspection:
    """Return the cases of a folder and what is wrong with them, each file read.

    Raises:
        DatasetError: the folder or its clinical table cannot be read.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"{folder.name or folder} is no folder",
            code="missing_folder",
            fix="name the folder that holds one folder for each case",
        )
    cases = find_cases(folder, clinical)
    # What some cases have, the others lack.
    modalities = sorted({modality for case in cases for modality in case.volumes})
    findings: list[Finding] = []
    for number, case in enumerate(cases, start=1):
        findings.extend(check_case(case, modalities=modalities))
        progress(number, len(cases))
    return Inspection(cases=cases, findings=tuple(findings))


def unknown_dataset(name: str) -> ConfigurationError:
    """Return the error of who names a dataset that is not registered."""
    return ConfigurationError(
        f"there is no dataset {name}",
        why="it was never added, or it was removed",
        fix="fedmq node data list",
    )
