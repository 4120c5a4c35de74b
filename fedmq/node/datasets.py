"""Datasets: what a node's operator has registered for experiments, by name."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fedmq.audit.log import AuditLog
from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.checks import Finding, check_volumes, read_volumes
from fedmq.imaging.datasets import case_names, find_cases
from fedmq.imaging.dictionary.applying import Applied, apply_dictionary
from fedmq.imaging.dictionary.columns import Matching
from fedmq.imaging.dictionary.model import Meaning
from fedmq.node.audit_facts import DatasetChanged
from fedmq.node.case_lists import CaseLists
from fedmq.node.meanings import Meanings
from fedmq.node.withdrawals import Withdrawals
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest, parse_id

if TYPE_CHECKING:
    from fedmq.imaging.volumes import Volume

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

Change = Literal["added", "changed", "removed"]
Tell = Callable[[int, int], None]
"""Takes how many cases were read, of how many."""

See = Callable[[Case, Mapping[str, "Volume"], Sequence[Finding]], None]
"""Takes a case, its volumes that could be read, and what is wrong with it."""


def _tell_nobody(_done: int, _all: int) -> None:
    """Say nothing."""


def _show_nobody(_case: Case, _volumes: Mapping[str, "Volume"], _found: Sequence[Finding]) -> None:
    """Draw nothing."""


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
    matching: Matching | None = None
    """Which columns the dictionary was found in; None where there is no dictionary."""

    @property
    def num_sound(self) -> int:
        """How many cases nothing was found against."""
        return len(self.cases) - len({finding.case_id for finding in self.faults})

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that are more than a doubt."""
        return tuple(finding for finding in self.findings if not finding.is_doubt)

    @property
    def spoiled(self) -> frozenset[tuple[str, str]]:
        """The volumes that are not to be used, each by case and modality."""
        return frozenset(
            (finding.case_id, modality) for finding in self.findings for modality in finding.spoils
        )


class Datasets:
    """The registered datasets of one node; the command line and the service share them."""

    def __init__(
        self,
        journal: Journal,
        *,
        audit: AuditLog,
        case_lists: CaseLists,
        withdrawals: Withdrawals,
    ) -> None:
        self._journal = journal
        self._audit = audit
        self._case_lists = case_lists
        self._withdrawals = withdrawals
        self.meanings = Meanings(journal)

    def add(
        self,
        name: str,
        folder: Path,
        clinical: Path | None = None,
        *,
        now: float,
        meaning: Meaning | None = None,
        progress: Tell = _tell_nobody,
    ) -> Inspection:
        """Register the cases of a folder; return what was found in them.

        `meaning` is by what its clinical table is read; without one its cells are as written.

        No experiment reads the volumes that were found unfit, until a check finds them fit.

        Raises:
            ConfigurationError: the name is taken or cannot be one.
            DatasetError: the folder holds no case that can be used.
        """
        parse_id(name, kind="dataset")
        if self.find(name) is not None:
            raise _name_taken(name)
        inspection = inspect(
            folder, clinical, progress, without=self._withdrawals.names(name), meaning=meaning
        )
        if not inspection.num_sound:
            first = inspection.faults[0]
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
                ),
                inspection.cases,
            )
            self.meanings.keep(name, meaning)
            self._note_spoiled(name, inspection)
        return inspection

    def register(self, dataset: Dataset, cases: Collection[Case] = ()) -> None:
        """Let experiments use a dataset whose files were read, and had these cases.

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
        with self._journal.transaction():
            if not self._journal.execute(
                "INSERT OR IGNORE INTO datasets VALUES (?, ?, ?, ?, ?)", cells
            ):
                raise _name_taken(dataset.name)
            self._tell("added", dataset.name, dataset.num_cases, cases)

    def check(
        self, name: str, progress: Tell = _tell_nobody, see: See = _show_nobody
    ) -> Inspection:
        """Return what is found in a dataset now; its count and its unfit volumes are of today.

        `see` is shown each case with its volumes, and what is wrong with it.
        """
        return self._check(name, self.meanings.of(name), progress, see)

    def mean(self, name: str, meaning: Meaning | None, progress: Tell = _tell_nobody) -> Inspection:
        """Read a dataset's clinical table by a dictionary from now on, or by none; check it by it.

        Raises:
            ConfigurationError: there is no dataset of that name.
            DatasetError: the table does not fit the dictionary as a whole; nothing changes.
        """
        return self._check(name, meaning, progress)

    def _check(
        self,
        name: str,
        meaning: Meaning | None,
        progress: Tell,
        see: See = _show_nobody,
    ) -> Inspection:
        """Return what is found in a dataset read by `meaning`, which is kept with it.

        Raises:
            ConfigurationError: there is none of that name.
            DatasetError: the folder or its clinical table cannot be read.
        """
        dataset = self.find(name)
        if dataset is None:
            raise unknown_dataset(name)
        inspection = inspect(
            dataset.folder,
            dataset.clinical,
            progress,
            see,
            without=self._withdrawals.names(name),
            meaning=meaning,
        )
        with self._journal.transaction():
            self.meanings.keep(name, meaning)
            self._journal.execute(
                "UPDATE datasets SET num_cases = ? WHERE name = ?", (len(inspection.cases), name)
            )
            self._note_spoiled(name, inspection)
            self._tell("changed", name, len(inspection.cases), inspection.cases)
        return inspection

    def recount(self, name: str) -> None:
        """The dataset has as many cases as have a folder now and are not withdrawn.

        Where its folder cannot be seen, it has one less: call it for each that is withdrawn.
        """
        dataset = self.find(name)
        if dataset is not None:
            here = set(case_names(dataset.folder))
            rest = len(here - self._withdrawals.names(name)) if here else dataset.num_cases - 1
            self._journal.execute(
                "UPDATE datasets SET num_cases = ? WHERE name = ?", (max(0, rest), name)
            )

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
            self.meanings.keep(name, None)
            self._tell("removed", name, 0, ())

    def _tell(self, change: Change, name: str, num_cases: int, cases: Collection[Case]) -> None:
        """Write into the audit log how a dataset is now, unless that is what stands there last."""
        digest = (
            self._case_lists.keep(name, [case.case_id for case in cases]) if cases else Digest("")
        )
        fact = DatasetChanged(
            change=change, dataset=name, num_cases=num_cases, cases=digest, by=self._audit.by
        )
        if change == "changed":
            known = [one for one in self._audit.facts(DatasetChanged) if one.dataset == name]
            if known and (known[-1].num_cases, known[-1].cases) == (num_cases, digest):
                return
        self._audit.note(fact)

    def _note_spoiled(self, name: str, inspection: Inspection) -> None:
        self._journal.execute("DELETE FROM spoiled WHERE dataset = ?", (name,))
        for case_id, modality in sorted(inspection.spoiled):
            self._journal.execute("INSERT INTO spoiled VALUES (?, ?, ?)", (name, case_id, modality))


def inspect(
    folder: Path,
    clinical: Path | None,
    progress: Tell = _tell_nobody,
    see: See = _show_nobody,
    *,
    without: Collection[str] = (),
    meaning: Meaning | None = None,
) -> Inspection:
    """Return the cases of a folder but for some, and what is wrong with them, each file read.

    Raises:
        DatasetError: the folder or its clinical table cannot be read, or not by its dictionary.
    """
    if not folder.is_dir():
        raise DatasetError(
            f"there is no folder {folder}",
            code="missing_folder",
            fix="name the folder that holds one folder for each case",
        )
    cases = find_cases(folder, clinical, without=without)
    applied = None if meaning is None else apply_dictionary(meaning, cases)
    findings = [] if applied is None else _misread(applied)
    for number, case in enumerate(cases, start=1):
        # Which modalities are needed is the plan's to say.
        volumes, found = read_volumes(case)
        found = check_volumes(case, volumes, found)
        if not case.volumes and not case.clinical:
            text = "it has neither a volume nor a row of the clinical table"
            found = (*found, Finding(case_id=case.case_id, code="empty_case", text=text))
        findings.extend(found)
        see(case, volumes, found)
        del volumes  # before the next are read: of whole bodies, two are a GB more
        progress(number, len(cases))
    return Inspection(
        cases=cases,
        findings=tuple(findings),
        matching=None if applied is None else applied.matching,
    )


def _misread(applied: Applied) -> list[Finding]:
    """Return the cells that are not what the dictionary says; their cases go without a row."""
    return [
        Finding(case_id=fault.case_id, code=fault.code, text=fault.text) for fault in applied.faults
    ]


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
