"""Datasets: what a node's operator has registered for experiments, by name."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from fedmq.audit.log import AuditLog
from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.baseline import Pick
from fedmq.imaging.cases import Case
from fedmq.imaging.contents import Contents, MapChoices, choose_map
from fedmq.imaging.datasets import case_names
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.layouts.data_map import DataMap, map_json, parse_map
from fedmq.imaging.layouts.words import is_volume
from fedmq.node.audit_facts import DatasetChanged
from fedmq.node.case_lists import CaseLists
from fedmq.node.found import Found
from fedmq.node.inspection import (
    Inspection,
    See,
    Tell,
    inspect,
    require_folder,
    show_nobody,
    tell_nobody,
)
from fedmq.node.meanings import Meanings
from fedmq.node.seen import SeenVolumes
from fedmq.node.withdrawals import Withdrawals
from fedmq.transport.journal import Cell, Journal
from fedmq.types import Digest, parse_id

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
CREATE TABLE IF NOT EXISTS data_maps (
    dataset TEXT PRIMARY KEY,
    map TEXT NOT NULL
) WITHOUT ROWID;
"""
# A table of its own: journals of before have the others already, and none of their columns changes.
_SELECT: Final = (
    "SELECT name, folder, clinical, num_cases, added_at, map FROM datasets"
    " LEFT JOIN data_maps ON dataset = name"
)

Change = Literal["added", "changed", "removed"]
_NOTHING_SAID: Final = MapChoices()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of cases under the name that experiments use."""

    name: str
    folder: Path
    clinical: Path | None
    num_cases: int
    added_at: float
    """Unix seconds."""
    data_map: DataMap = field(default_factory=DataMap)
    """How its files and its table are read: as it was found when the dataset was added."""


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
        self.found = Found(journal)
        self.seen = SeenVolumes(journal)

    def add(  # noqa: PLR0913 - all that an operator says of a dataset
        self,
        name: str,
        folder: Path,
        clinical: Path | None = None,
        *,
        choices: MapChoices = _NOTHING_SAID,
        now: float,
        meaning: Meaning | None = None,
        progress: Tell = tell_nobody,
    ) -> Inspection:
        """Register the cases of a folder; return what was found in them.

        `meaning` is by what its clinical table is read; without one its cells are as written. The
        layout is found now, once, and kept. No experiment reads the volumes that were found
        unfit, until a check finds them fit.

        Raises:
            ConfigurationError: the name is taken or cannot be one, or so is the operator's map.
            DatasetError: the folder holds no case that can be used, or can be read in two ways.
        """
        parse_id(name, kind="dataset")
        if self.find(name) is not None:
            raise _name_taken(name)
        require_folder(folder)
        data_map = choose_map(folder, choices)
        gone = self._withdrawals.names(name)
        inspection = inspect(folder, clinical, data_map, progress, without=gone, meaning=meaning)
        _require_use(inspection)
        with self._journal.transaction():
            inspection = inspection.without(self._withdrawals.names(name))
            self.register(
                Dataset(
                    name=name,
                    folder=folder.resolve(),
                    clinical=None if clinical is None else clinical.resolve(),
                    num_cases=len(inspection.cases),
                    added_at=now,
                    data_map=inspection.contents.data_map,
                ),
                inspection.cases,
            )
            self.meanings.keep(name, meaning)
            self.found.keep(name, inspection.counted)
            self.seen.keep(name, inspection.seen)
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
            self._keep_map(dataset.name, dataset.data_map)
            self._tell("added", dataset.name, dataset.num_cases, cases)

    def check(self, name: str, progress: Tell = tell_nobody, see: See = show_nobody) -> Inspection:
        """Return what is found in a dataset now; its count and its unfit volumes are of today.

        `see` is shown each case with its volumes, and what is wrong with it.

        Raises:
            ConfigurationError: there is no dataset of that name, or another command changed by what
                it is read.
            DatasetError: the folder or its clinical table cannot be read.
        """
        meaning = self.meanings.of(name)
        dataset, inspection = self._inspect(name, meaning, progress, see)
        with self._journal.transaction():
            self._require_same(dataset)
            if self.meanings.of(name) != meaning:
                raise _changed_meanwhile(name)
            return self._keep(name, inspection)

    def mean(self, name: str, meaning: Meaning | None, progress: Tell = tell_nobody) -> Inspection:
        """Read a dataset's clinical table by a dictionary from now on, or by none; check it by it.

        Raises:
            ConfigurationError: there is no dataset of that name.
            DatasetError: the table does not fit the dictionary as a whole; nothing changes.
        """
        dataset, inspection = self._inspect(name, meaning, progress)
        with self._journal.transaction():
            self._require_same(dataset)
            self.meanings.keep(name, meaning)
            return self._keep(name, inspection)

    def _inspect(
        self, name: str, meaning: Meaning | None, progress: Tell, see: See = show_nobody
    ) -> tuple[Dataset, Inspection]:
        """Return a dataset and what is found in it, read by `meaning`: minutes go by.

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
            dataset.data_map,
            progress,
            see,
            without=self._withdrawals.names(name),
            meaning=meaning,
        )
        return dataset, inspection

    def _require_same(self, dataset: Dataset) -> None:
        """Return if a dataset is still the one that was read; call it inside a transaction.

        Raises:
            ConfigurationError: it was removed, or another has its name.
        """
        now = self.find(dataset.name)
        if now is None:
            raise unknown_dataset(dataset.name)
        if (now.folder, now.clinical, now.added_at) != (
            dataset.folder,
            dataset.clinical,
            dataset.added_at,
        ):
            raise _changed_meanwhile(dataset.name)

    def _keep(self, name: str, inspection: Inspection) -> Inspection:
        """Note what was found, but for cases withdrawn since; call it inside a transaction."""
        inspection = inspection.without(self._withdrawals.names(name))
        self._journal.execute(
            "UPDATE datasets SET num_cases = ? WHERE name = ?", (len(inspection.cases), name)
        )
        self._keep_map(name, inspection.contents.data_map)
        self.found.keep(name, inspection.counted)
        self.seen.keep(name, inspection.seen)
        self._note_spoiled(name, inspection)
        self._tell("changed", name, len(inspection.cases), inspection.cases)
        return inspection

    def recount(self, name: str) -> None:
        """The dataset has as many cases as have files now and are not withdrawn.

        Where its folder cannot be seen, it has one less: call it for each that is withdrawn.
        """
        dataset = self.find(name)
        if dataset is not None:
            here = set(case_names(dataset.folder, dataset.data_map))
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
        rows = self._journal.rows(f"{_SELECT} WHERE name = ?", (name,))
        return _dataset(rows[0]) if rows else None

    def all(self) -> tuple[Dataset, ...]:
        """Return all datasets, by name."""
        rows = self._journal.rows(f"{_SELECT} ORDER BY name")
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
            self._journal.execute("DELETE FROM data_maps WHERE dataset = ?", (name,))
            self.meanings.keep(name, None)
            self.found.keep(name, None)
            self.seen.keep(name, None)
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

    def _keep_map(self, name: str, data_map: DataMap) -> None:
        cells = (name, map_json(data_map))
        self._journal.execute("INSERT OR REPLACE INTO data_maps VALUES (?, ?)", cells)

    def _note_spoiled(self, name: str, inspection: Inspection) -> None:
        self._journal.execute("DELETE FROM spoiled WHERE dataset = ?", (name,))
        for case_id, modality in sorted(inspection.spoiled):
            self._journal.execute("INSERT INTO spoiled VALUES (?, ?, ?)", (name, case_id, modality))


def _require_use(inspection: Inspection) -> None:
    """Return if a dataset has anything to learn from, and the scan that was named.

    Raises:
        DatasetError: it has not.
    """
    contents = inspection.contents
    rule, without = contents.data_map.baseline, contents.without_baseline
    is_named = rule is not None and rule.pick is Pick.NAMED
    if (
        is_named
        and without
        and len(without) == sum(bool(one) for one in contents.num_scans.values())
    ):
        case_id, why = min(without.items())
        raise DatasetError(
            "no case has the scan that is named as its baseline",
            code="no_baseline",
            case=case_id,
            why=f"{case_id}: {why}",
            fix="--baseline last or first, or the name of a scan as it is written there",
        )
    if not inspection.has_use:
        first = inspection.faults[0]
        raise DatasetError(
            "no case of the folder can be used",
            code=first.code,
            case=first.case_id,
            why=f"{first.case_id}: {first.text}{_ignored_volume(contents)}",
            fix="mend the files, then add the dataset again; of DICOM files "
            "fedmq node data import makes a dataset",
        )


def _ignored_volume(contents: Contents) -> str:
    """Return why the first of the volumes that are no case's is ignored; "" where there is none."""
    for one in contents.ignored:
        if is_volume(one.path):
            return f"; {one.path.rpartition('/')[2]} is ignored: {one.why}"
    return ""


def unknown_dataset(name: str) -> ConfigurationError:
    """Return the error of who names a dataset that is not registered."""
    return ConfigurationError(
        f"there is no dataset {name}",
        why="it was never added, or it was removed",
        fix="fedmq node data list",
    )


def _changed_meanwhile(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"the check of {name} counts for nothing",
        why="while its files were read, another command changed by what they are read",
        fix=f"fedmq node data check {name}",
    )


def _name_taken(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is a dataset {name} already",
        why="experiments name it, so it is not replaced in passing",
        fix=f"fedmq node data remove {name}",
    )


def _dataset(row: tuple[Cell, ...]) -> Dataset:
    name, folder, clinical, num_cases, added_at, data_map = row
    return Dataset(
        name=str(name),
        folder=Path(str(folder)),
        clinical=None if clinical is None else Path(str(clinical)),
        num_cases=int(num_cases or 0),
        added_at=float(added_at or 0.0),
        data_map=DataMap() if data_map is None else parse_map(str(data_map)),
    )
