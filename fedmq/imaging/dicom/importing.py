"""Importing: an archive's export becomes a dataset, case by case, in several processes.

May be killed at any time: a case's folder is there whole or not at all, and says of which content
it was made. Run again, finished cases are not made again.
"""

import dataclasses
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fedmq.disk import LocalDisk
from fedmq.errors import DatasetError
from fedmq.imaging.dicom.files import Entry, Foreign, find_files, read_entry
from fedmq.imaging.dicom.numbering import renumber
from fedmq.imaging.dicom.outcomes import Outcome, as_kept, refused, report_json, report_text
from fedmq.imaging.dicom.planning import Choices, Plan, Refusal, Study, mark_site, plan_studies
from fedmq.imaging.dicom.pseudonyms import (
    add_links,
    pseudonym,
    read_links,
    read_secret,
    replace,
    sign,
    table,
)
from fedmq.imaging.dicom.regions import is_wanted
from fedmq.imaging.dicom.studies import (
    OLD,
    PART,
    folders_by_patient,
    import_study,
    read_outcome,
    settle,
)
from fedmq.imaging.dicom.workers import share_out

REPORT_JSON: Final = "import-report.json"
REPORT_TEXT: Final = "import-report.txt"
LEFT_OUT_FILE: Final = "left-out.csv"
REGIONS_FILE: Final = "regions.csv"
_STAYING: Final = frozenset(
    {
        "several_series",
        "series_not_found",
        "tracer_not_named",
        "changed_file",
        "damaged_file",
        "transfer_syntax",
        "too_large",
        "multi_frame",
        "unreadable",
        "process_ended",
        "memory",
    }
)
"""Refusals that say nothing against the case as it was imported before."""
_STAYS: Final = "its folder stays: what is there was imported before, with other choices or files"
_FILES_AT_ONCE: Final = 64

Progress = Callable[[str, int, int], None]
"""What is counted (file, case), how many are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How an import ended."""

    plan: Plan
    outcomes: tuple[Outcome, ...]
    removed: tuple[str, ...]
    """Cases of an earlier import whose place others have taken, or that are refused by now."""

    @property
    def num_refused(self) -> int:
        """Cases that are not there, or as an earlier import left them."""
        return sum(one.state == "refused" for one in self.outcomes)

    @property
    def num_staying(self) -> int:
        """Of those that are refused, cases that an earlier import left and that stay."""
        return sum(_STAYS in one.notes for one in self.outcomes)


def import_archive(
    source: Path,
    target: Path,
    keeping: LocalDisk,
    choices: Choices,
    *,
    jobs: int = 1,
    progress: Progress,
) -> Imported:
    """Every study below `source` with PET or CT has a folder in `target`, or is refused by name.

    `keeping` is a folder of the node's home for what stays at the site and names patients: the
    secret, the table of pseudonyms, the lists of files that are in no case and of regions.

    Raises:
        DatasetError: code missing_file (no such source), empty (nothing in it is an image), busy,
            other_site (the dataset was made with another secret).
        StorageError: a disk refuses.
    """
    files = find_files(source)
    _make_target(source, target)
    with _alone(keeping.path("."), "this node"), _alone(target, "this dataset"):
        secret = read_secret(keeping)
        _require_own(target, mark_site(partial(sign, secret)))
        entries, foreign = _read_entries(source, files, jobs, progress)
        plan = plan_studies(
            entries,
            foreign,
            choices,
            known=read_links(keeping).values(),
            name=partial(pseudonym, secret),
            sign=partial(sign, secret),
        )
        _keep_links(keeping, plan, entries, foreign)
        _keep_regions(keeping, plan, choices)
        if not plan.studies:
            raise DatasetError(
                "nothing to import was found",
                code="empty",
                why=f"of {len(files)} files none is a slice of PET or CT",
                fix="give the folder that holds the export",
            )
        _clear(target)
        outcomes, removed = _import_studies(plan.studies, source, target, choices, jobs, progress)
        report = LocalDisk(target)
        replace(report, REPORT_JSON, report_json(plan, outcomes, removed))
        replace(report, REPORT_TEXT, report_text(plan, outcomes, removed))
    return Imported(plan=plan, outcomes=tuple(outcomes), removed=tuple(removed))


def _make_target(source: Path, target: Path) -> None:
    if target.resolve().is_relative_to(source.resolve()) or source.resolve().is_relative_to(
        target.resolve()
    ):
        raise DatasetError(
            "the dataset's folder and the archive's are within each other",
            code="folder_within",
            why="what is written would be read again",
            fix="choose a folder elsewhere for the dataset",
        )
    LocalDisk(target)  # made, or its refusal told as one of the disk


def _read_entries(
    source: Path, files: Sequence[str], jobs: int, progress: Progress
) -> tuple[list[Entry], list[Foreign]]:
    """Return all files in their order, whoever read them."""
    read = partial(read_entry, source)
    lots = [files[at : at + _FILES_AT_ONCE] for at in range(0, len(files), _FILES_AT_ONCE)]
    found: dict[str, Entry | Foreign] = {}
    for lot, told in share_out(partial(_read_lot, source), lots, jobs):
        # In the lot that ended its process, some file did: it alone is not read.
        singly = share_out(read, lot, jobs) if told is None else zip(lot, told, strict=True)
        for path, one in singly:
            found[path] = one or Foreign(path=path, why="damaged")
            progress("file", len(found), len(files))
    entries = [one for path in files if isinstance(one := found[path], Entry)]
    return entries, [one for path in files if isinstance(one := found[path], Foreign)]


def _read_lot(source: Path, files: Sequence[str]) -> list[Entry | Foreign]:
    return [read_entry(source, path) for path in files]


def _require_own(target: Path, site: str) -> None:
    """Refuse a dataset in which the same patients have other names."""
    for folder in sorted(target.iterdir()):
        before = read_outcome(folder)
        if before is not None and before.site != site:
            raise DatasetError(
                "the dataset was made with another secret",
                code="other_site",
                why="every patient of it would be there a second time, under another name",
                fix="import with the FEDMQ_HOME that made it, or into another folder",
            )


def _keep_links(
    keeping: LocalDisk, plan: Plan, entries: Sequence[Entry], foreign: Sequence[Foreign]
) -> None:
    """The site knows whose pseudonyms they are, and which files are in no case."""
    add_links(keeping, {one.pseudonym: one.patient_id for one in plan.studies if one.patient_id})
    in_cases = {entry.path for one in plan.studies for entry in (*one.images, *one.drawn)}
    rows = [(one.path, one.why) for one in foreign]
    rows += [(one.path, one.kind) for one in entries if one.path not in in_cases]
    replace(keeping, LEFT_OUT_FILE, table([("file", "what it is"), *sorted(rows)]))


def _keep_regions(keeping: LocalDisk, plan: Plan, choices: Choices) -> None:
    """The site can see which regions its masks are made of: their names stand nowhere else."""
    rows = [
        (study.case_id, entry.path, region.name, "yes" if is_asked else "no")
        for study in plan.studies
        for entry in study.drawn
        for region in entry.regions
        for is_asked in [is_wanted(region, choices.regions)]
    ]
    replace(keeping, REGIONS_FILE, table([("case", "file", "region", "asked for"), *rows]))


def _clear(target: Path) -> None:
    """Undo what a killed import began: no folder is there that is no case, and none is lost."""
    for mark in (PART, OLD):
        for leftover in list(target.glob(f"{mark}*")):
            settle(leftover.name.removeprefix(mark), target)


def _import_studies(
    studies: Sequence[Study],
    source: Path,
    target: Path,
    choices: Choices,
    jobs: int,
    progress: Progress,
) -> tuple[list[Outcome], list[str]]:
    outcomes: dict[str, Outcome] = {}
    waiting: list[Study] = []
    removed: list[str] = []
    held = _held(studies, target)
    names_before = renumber([one for one in studies if one.pseudonym not in held], target)
    for study in studies:
        before = read_outcome(target / study.case_id)
        if study.refusal or study.pseudonym in held:
            outcome = refused(study, study.refusal or held[study.pseudonym])
            outcomes[study.case_id] = _told(outcome, target)
        elif before is not None and before.key == study.key and before.state == "written":
            outcomes[study.case_id] = as_kept(before)
        else:
            waiting.append(study)
    removed += _remove_others(studies, held, outcomes, target)
    progress("case", len(outcomes), len(studies))
    for outcome in _make_all(waiting, source, target, choices, jobs):
        place = target / outcome.case_id
        if outcome.state == "refused" and outcome.code not in _STAYING and place.exists():
            _remove(place)
            removed.append(outcome.case_id)
        outcomes[outcome.case_id] = _told(outcome, target)
        progress("case", len(outcomes), len(studies))
    for name, old in names_before.items():
        told = f"it was {old} before: the archive has another number of scans by now"
        if name in outcomes:  # what was in the way of another may be no case by now
            notes = (*outcomes[name].notes, told)
            outcomes[name] = dataclasses.replace(outcomes[name], notes=notes)
    return [outcomes[study.case_id] for study in studies], removed


def _told(outcome: Outcome, target: Path) -> Outcome:
    """Return the outcome with a note where what was imported before stays."""
    if outcome.code in _STAYING and (target / outcome.case_id).exists():
        return dataclasses.replace(outcome, notes=(_STAYS,))
    return outcome


def _held(studies: Sequence[Study], target: Path) -> dict[str, Refusal]:
    """Return the patients whose folders in the dataset are not this archive's to replace."""
    tokens: dict[str, set[str]] = {}
    for study in studies:
        tokens.setdefault(study.pseudonym, set()).add(study.token)
    held: dict[str, Refusal] = {}
    folders = folders_by_patient(target)
    for name, known in tokens.items():
        for folder in folders.get(name, ()):
            before = read_outcome(folder)
            if before is None:
                held[name] = Refusal(
                    code="folder_taken",
                    why="the dataset has a folder of its name that no import made",
                    fix="move that folder away",
                )
            elif before.token not in known:
                held[name] = Refusal(
                    code="other_scans",
                    why="the dataset has a scan of this patient that is not in this archive",
                    fix="import from one folder that holds all scans of the patient",
                )
    return held


def _remove_others(
    studies: Sequence[Study],
    held: dict[str, Refusal],
    outcomes: dict[str, Outcome],
    target: Path,
) -> list[str]:
    """Remove folders of these patients that are cases no more, or refused by now."""
    removed = []
    there = {study.case_id for study in studies}
    gone = {
        name
        for name, one in outcomes.items()
        if one.state == "refused" and one.code not in _STAYING
    }
    folders = folders_by_patient(target)
    for name in sorted({study.pseudonym for study in studies} - set(held)):
        for folder in folders.get(name, ()):
            if folder.name not in there or folder.name in gone:
                _remove(folder)
                removed.append(folder.name)
    return removed


def _remove(folder: Path) -> None:
    """Take a case out at once, its files afterwards."""
    part = folder.with_name(f"{PART}{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    folder.rename(part)
    shutil.rmtree(part, ignore_errors=True)


def _make_all(
    studies: Sequence[Study], source: Path, target: Path, choices: Choices, jobs: int
) -> Iterator[Outcome]:
    make = partial(import_study, source=source, target=target, choices=choices)
    for study, outcome in share_out(make, studies, min(jobs, len(studies))):
        if outcome is None:
            settle(study.case_id, target)
        yield outcome or refused(
            study,
            Refusal(
                code="process_ended",
                why="the process that imported it was ended twice, perhaps for want of memory",
                fix="free memory, then import again",
            ),
        )


@contextmanager
def _alone(folder: Path, what: str) -> Iterator[None]:
    """Keep other imports away from a folder meanwhile."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DatasetError(
                "another import is under way",
                code="busy",
                why=f"it writes to {what}",
                fix="wait for its end, or end it",
            ) from error
        yield
    finally:
        os.close(handle)
