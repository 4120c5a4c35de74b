"""Datasets: what a node's operator has registered for experiments, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.checks import Finding, check_case
from fedmq.imaging.datasets import find_cases
from fedmq.transport.journal import Cell, Journal
from fedmq.types import parse_id

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS datasets (
    name TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    clinical TEXT,
    num_cases INTEGER NOT NULL,
    added_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS spoiled (
    dataset TEXT NOT NULL,
    case_id TEXT NOT NULL,
    modality TEXT NOT NULL,
    PRIMARY KEY (dataset, case_id, modality)
) WITHOUT ROWID;
"""
_COLUMNS: Final = "name, folder, clinical, num_cases, added_at"

Tell = Callable[[int, int], None]
"""Takes how many cases were read, of how many."""


def _tell_nobody(_done: int, _all: int) -> None:
    """Say nothing."""


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

    @property
    def spoiled(self) -> frozenset[tuple[str, str]]:
        """The volumes that are not to be used, each by case and modality."""
        return frozenset(
            (finding.case_id, modality) for finding in self.findings for modality in finding.spoils
        )


class Datasets:
    """The registered datasets of one node; the command line and the service share them."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(
        self,
        name: str,
        folder: Path,
        clinical: Path | None = None,
        *,
        now: float,
        progress: Tell = _tell_nobody,
    ) -> Inspection:
        """Register the cases of a folder; return what was found in them.

        No experiment reads the volumes that were found unfit, until a check finds them fit.

        Raises:
            ConfigurationError: the name is taken or cannot be one.
            DatasetError: the folder holds no case that can be used.
        """
        parse_id(name, kind="dataset")
        if self.find(name) is not None:
            raise _name_taken(name)
        inspection = inspect(folder, clinical, progress)
        if not inspection.num_sound:
            first = inspection.findings[0]
            raise DatasetError(
                "no case of the folder can be used",
                code=first.code,
                case=first.case_id,
                why=f"{first.case_id}: {first.text}",
                fix="mend the files, then add the dataset again",
            )
        with self._journal.transaction():
            self.register(
                Dataset(
                    name=name,
                    folder=folder.resolve(),
                    clinical=None if clinical is None else clinical.resolve(),
                    num_cases=len(inspection.cases),
                    added_at=now,
                )
            )
            self._note_spoiled(name, inspection)
        return inspection

    def register(self, dataset: Dataset) -> None:
        """Let experiments use a dataset whose files were read.

        Raises:
            ConfigurationError: the name is taken.
        """
        cells: tuple[Cell, ...] = (
            dataset.name,
            str(dataset.folder),
            None if dataset.clinical is None else str(dataset.clinical),
            dataset.num_cases,
            dataset.added_at,
        )
        if not self._journal.execute(
            "INSERT OR IGNORE INTO datasets VALUES (?, ?, ?, ?, ?)", cells
        ):
            raise _name_taken(dataset.name)

    def check(self, name: str, progress: Tell = _tell_nobody) -> Inspection:
        """Return what is found in a dataset now; its count and its unfit volumes are of today.

        Raises:
            ConfigurationError: there is none of that name.
            DatasetError: the folder or its clinical table cannot be read.
        """
        dataset = self.find(name)
        if dataset is None:
            raise unknown_dataset(name)
        inspection = inspect(dataset.folder, dataset.clinical, progress)
        with self._journal.transaction():
            self._journal.execute(
                "UPDATE datasets SET num_cases = ? WHERE name = ?", (len(inspection.cases), name)
            )
            self._note_spoiled(name, inspection)
        return inspection

    def spoiled(self, name: str) -> frozenset[tuple[str, str]]:
        """Return the volumes of a dataset that are not to be used, each by case and modality."""
        rows = self._journal.rows(
            "SELECT case_id, modality FROM spoiled WHERE dataset = ?", (name,)
        )
        return frozenset((str(case_id), str(modality)) for case_id, modality in rows)

    def find(self, name: str) -> Dataset | None:
        """Return a dataset, None where there is none of that name."""
        rows = self._journal.rows(
            f"SELECT {_COLUMNS} FROM datasets WHERE name = ?",  # noqa: S608 - own names
            (name,),
        )
        return _dataset(rows[0]) if rows else None

    def all(self) -> tuple[Dataset, ...]:
        """Return all datasets, by name."""
        rows = self._journal.rows(
            f"SELECT {_COLUMNS} FROM datasets ORDER BY name"  # noqa: S608 - own names
        )
        return tuple(_dataset(row) for row in rows)

    def remove(self, name: str) -> None:
        """Forget a dataset; its files stay where they are.

        Raises:
            ConfigurationError: there is none of that name.
        """
        with self._journal.transaction():
            if not self._journal.execute("DELETE FROM datasets WHERE name = ?", (name,)):
                raise unknown_dataset(name)
            self._journal.execute("DELETE FROM spoiled WHERE dataset = ?", (name,))

    def _note_spoiled(self, name: str, inspection: Inspection) -> None:
        self._journal.execute("DELETE FROM spoiled WHERE dataset = ?", (name,))
        for case_id, modality in sorted(inspection.spoiled):
            self._journal.execute("INSERT INTO spoiled VALUES (?, ?, ?)", (name, case_id, modality))


def inspect(folder: Path, clinical: Path | None, progress: Tell = _tell_nobody) -> Inspection:
    """Return the cases of a folder and what is wrong with them, each file read.

    Raises:
        DatasetError: the folder or its clinical table cannot be read.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"there is no folder {folder}",
            code="missing_folder",
            fix="name the folder that holds one folder for each case",
        )
    cases = find_cases(folder, clinical)
    findings: list[Finding] = []
    for number, case in enumerate(cases, start=1):
        # Which modalities are needed is the plan's to say.
        findings.extend(check_case(case, modalities=()))
        if not case.volumes and not case.clinical:
            text = "it has neither a volume nor a row of the clinical table"
            findings.append(Finding(case_id=case.case_id, code="empty_case", text=text))
        progress(number, len(cases))
    return Inspection(cases=cases, findings=tuple(findings))


def unknown_dataset(name: str) -> ConfigurationError:
    """Return the error of who names a dataset that is not registered."""
    return ConfigurationError(
        f"there is no dataset {name}",
        why="it was never added, or it was removed",
        fix="fedmq node data list",
    )


def _name_taken(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is a dataset {name} already",
        why="experiments name it, so it is not replaced in passing",
        fix=f"fedmq node data remove {name}",
    )


def _dataset(row: tuple[Cell, ...]) -> Dataset:
    name, folder, clinical, num_cases, added_at = row
    return Dataset(
        name=str(name),
        folder=Path(str(folder)),
        clinical=None if clinical is None else Path(str(clinical)),
        num_cases=int(num_cases or 0),
        added_at=float(added_at or 0.0),
    )
