"""Datasets: what a node's operator has registered for experiments, by name."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from fedmq.audit.log import AuditLog
from fedmq.errors import ConfigurationError, DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.checks import Finding, check_case
from fedmq.imaging.contents import Contents, MapChoices, choose_map, read_contents
from fedmq.imaging.datasets import case_names
from fedmq.imaging.dictionary.applying import Applied, apply_dictionary
from fedmq.imaging.dictionary.columns import Matching
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.layouts.data_map import DataMap, map_json, parse_map
from fedmq.imaging.layouts.words import is_volume
from fedmq.node.audit_facts import DatasetChanged
from fedmq.node.case_lists import CaseLists
from fedmq.node.meanings import Meanings, read_by
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
Spacing = tuple[float, float, float]
Tell = Callable[[int, int], None]
"""Takes how many cases were read, of how many."""


_NOTHING_SAID: Final = MapChoices()


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
    data_map: DataMap = field(default_factory=DataMap)
    """How its files and its table are read: as it was found when the dataset was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in a dataset: its cases, and what is wrong with them."""

    contents: Contents
    findings: tuple[Finding, ...]
    spacing_mm: Mapping[str, tuple[Spacing, Spacing]]
    """Modality -> least and largest voxel spacing by axis, of the volumes that can be read."""
    matching: Matching | None = None
    """Which columns the dictionary was found in; None where there is no dictionary."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that are not withdrawn, by name."""
        return self.contents.cases

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

    def add(  # noqa: PLR0913 - all that an operator says of a dataset
        self,
        name: str,
        folder: Path,
        clinical: Path | None = None,
        *,
        choices: MapChoices = _NOTHING_SAID,
        now: float,
        meaning: Meaning | None = None,
        progress: Tell = _tell_nobody,
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
        _require_folder(folder)
        data_map = choose_map(folder, choices)
        gone = self._withdrawals.names(name)
        inspection = inspect(folder, clinical, data_map, progress, without=gone, meaning=meaning)
        if not inspection.num_sound:
            first = inspection.findings[0]
            raise DatasetError(
                "no case of the folder can be used",
                code=first.code,
                case=first.case_id,
                why=f"{first.case_id}: {first.text}{_ignored_volume(inspection.contents)}",
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
                    data_map=inspection.contents.data_map,
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
            self._keep_map(dataset.name, dataset.data_map)
            self._tell("added", dataset.name, dataset.num_cases, cases)

    def check(self, name: str, progress: Tell = _tell_nobody) -> Inspection:
        """Return what is found in a dataset now; its count and its unfit volumes are of today."""
        return self._check(name, self.meanings.of(name), progress)

    def mean(self, name: str, meaning: Meaning | None, progress: Tell = _tell_nobody) -> Inspection:
        """Read a dataset's clinical table by a dictionary from now on, or by none; check it by it.

        Raises:
            ConfigurationError: there is no dataset of that name.
            DatasetError: the table does not fit the dictionary as a whole; nothing changes.
        """
        return self._check(name, meaning, progress)

    def _check(self, name: str, meaning: Meaning | None, progress: Tell) -> Inspection:
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
            dataset.data_map,
            progress,
            without=self._withdrawals.names(name),
            meaning=meaning,
        )
        with self._journal.transaction():
            self.meanings.keep(name, meaning)
            self._journal.execute(
                "UPDATE datasets SET num_cases = ? WHERE name = ?", (len(inspection.cases), name)
            )
            self._keep_map(name, inspection.contents.data_map)
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


def inspect(
    folder: Path,
    clinical: Path | None,
    data_map: DataMap,
    progress: Tell = _tell_nobody,
    *,
    without: Collection[str] = (),
    meaning: Meaning | None = None,
) -> Inspection:
    """Return the cases of a folder but for some, and what is wrong with them, each file read.

    Raises:
        DatasetError: the folder or its clinical table cannot be read, or not by its dictionary.
    """
    _require_folder(folder)
    contents = read_contents(
        folder, clinical, read_by(data_map, meaning), without=without, is_thorough=True
    )
    cases = contents.cases
    applied = None if meaning is None else apply_dictionary(meaning, cases)
    findings = [] if applied is None else _misread(applied)
    spacings: dict[str, list[Spacing]] = {}
    for number, case in enumerate(cases, start=1):
        # Which modalities are needed is the plan's to say.
        findings.extend(check_case(case, modalities=()))
        for modality, spacing in _spacings(case):
            spacings.setdefault(modality, []).append(spacing)
        if not case.volumes and not case.clinical:
            text = "it has neither a volume nor a row of the clinical table"
            findings.append(Finding(case_id=case.case_id, code="empty_case", text=text))
        progress(number, len(cases))
    kept = replace(contents.data_map, baseline=data_map.baseline)  # the site's own word
    return Inspection(
        contents=replace(contents, data_map=kept),
        findings=tuple(findings),
        spacing_mm={
            modality: (_by_axis(min, some), _by_axis(max, some))
            for modality, some in sorted(spacings.items())
        },
        matching=None if applied is None else applied.matching,
    )


def _ignored_volume(contents: Contents) -> str:
    """Return why the first of the volumes that are no case's is ignored; "" where there is none."""
    for one in contents.ignored:
        if is_volume(one.path):
            return f"; {one.path.rpartition('/')[2]} is ignored: {one.why}"
    return ""


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DatasetError(
            f"there is no folder {folder}",
            code="missing_folder",
            fix="name the folder that holds one folder for each case",
        )


def _spacings(case: Case) -> Iterator[tuple[str, Spacing]]:
    # nibabel comes with an extra: a node that trains on tables does without.
    if case.volumes:
        from fedmq.imaging.volumes import read_spacing

        for modality, path in case.volumes.items():
            with suppress(DatasetError):  # the check has it among its findings
                yield modality, read_spacing(path)


def _by_axis(pick: Callable[[Iterable[float]], float], spacings: list[Spacing]) -> Spacing:
    x, y, z = (pick(one[axis] for one in spacings) for axis in range(3))
    return x, y, z


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
    name, folder, clinical, num_cases, added_at, data_map = row
    return Dataset(
        name=str(name),
        folder=Path(str(folder)),
        clinical=None if clinical is None else Path(str(clinical)),
        num_cases=int(num_cases or 0),
        added_at=float(added_at or 0.0),
        data_map=DataMap() if data_map is None else parse_map(str(data_map)),
    )
