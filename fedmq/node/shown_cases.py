"""The cases that a plan is shown: none that is withdrawn, neither its files nor its row.

A dataset of which nothing is withdrawn is shown as it is. Of any other a plan sees the cases that
are left, by links in a folder of its cell: their folders where nothing in them is of another case,
else file by file; and a copy of the clinical table with nothing but their rows. What else lies in
the dataset's folder may tell of those that went, and is hidden.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import structlog

from fedmq.errors import DatasetError, TrainingError
from fedmq.imaging.clinical import table_with
from fedmq.imaging.contents import read_arrangement, table_format, table_path
from fedmq.imaging.datasets import case_names, find_cases
from fedmq.imaging.feature_table import fresh_rows, read_table, table_text
from fedmq.imaging.layouts.arranging import Arrangement, depth_of
from fedmq.imaging.layouts.data_map import CLINICAL_FILE
from fedmq.imaging.layouts.listing import list_entries
from fedmq.imaging.layouts.scan_days import sidecars_of
from fedmq.imaging.layouts.words import plain_name
from fedmq.imaging.matching import ids_of
from fedmq.learning.trainer_protocol import Job

_CASES: Final = "cases"
_FEATURES: Final = "features.csv"

log = structlog.get_logger()


def shown_names(job: Job) -> frozenset[str]:
    """Return the names of the cases that a plan may read now: those whose files it is shown."""
    gone = _gone(job)
    names = case_names(Path(job.dataset_folder), job.data_map)
    return frozenset(name for name in names if name not in gone)


def readable_paths(job: Job, home: Path) -> tuple[Path, ...]:
    """Return what the trainer of a job may read: its cases, and where links in them lead.

    Raises:
        TrainingError: `home`, the node's own folder, or a withdrawn case would be among it; or a
            link cannot be shown.
    """
    folder = Path(job.dataset_folder)
    hidden: set[Path] = set()
    if job.withdrawn:
        arrangement = _arrange(job)
        folders, files = _places(job, arrangement, is_withdrawn=False)
        paths = [folder / name for name in folders] + [_real(folder / name) for name in files]
        paths += _targets(job, within=folders)
        own, single = _places(job, arrangement, is_withdrawn=True)
        names = (*own, *single, *(name for name, _ in job.withdrawn))
        hidden = {
            _real(folder / name) for name in names if _says((folder / name).exists, unseen=True)
        }
    else:
        paths = [folder]
        if job.clinical is not None:
            paths.append(Path(job.clinical))
        paths += _targets(job)
    resolved = [_real(path) for path in paths]
    if any(home.resolve().is_relative_to(path) for path in resolved):
        raise TrainingError(
            "the dataset cannot be shown to a plan",
            why="its folder, or a link in it, holds the node's own folder",
            fix="the node's operator keeps FEDMQ_HOME outside of datasets",
        )
    for place in hidden:
        if any(place.is_relative_to(path) or path.is_relative_to(place) for path in resolved):
            raise TrainingError(
                "the dataset cannot be shown to a plan",
                why="a link of a case leads to files of a withdrawn one",
                fix="the node's operator removes the withdrawn case's files, or the link",
            )
    return tuple(dict.fromkeys(paths))


def show_cases(job: Job, inputs: Path) -> Job:
    """Put what a job is shown of its dataset into `inputs`, where a case of it is withdrawn.

    Return the job with its dataset there; what was shown before is gone.

    Raises:
        OSError: the disk refuses.
    """
    place = inputs / _CASES
    shutil.rmtree(place, ignore_errors=True)
    folder = Path(job.dataset_folder)
    if not job.withdrawn or (arrangement := _arrange(job)) is None:
        return _with_hidden_table(job)
    place.mkdir()
    folders, files = _places(job, arrangement, is_withdrawn=False)
    for name in folders:
        (place / name).symlink_to(folder / name)
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).symlink_to(_real(folder / name))
    return replace(_with_table(job, place / CLINICAL_FILE), dataset_folder=str(place))


def _with_hidden_table(job: Job) -> Job:
    """Return the job, its table named where nobody lets this user look for it.

    A cell has no link to what is closed: the trainer would miss no table that nobody named.
    """
    try:
        table_path(Path(job.dataset_folder), _clinical(job), job.data_map)
    except DatasetError:
        return replace(job, clinical=str(Path(job.dataset_folder) / job.data_map.table))
    return job


def _with_table(job: Job, place: Path) -> Job:
    """Write the table with the rows of the cases that are shown; return the job with it."""
    table = Path(job.clinical or Path(job.dataset_folder) / job.data_map.table)
    if not _says(table.is_file, unseen=True):
        return job  # the trainer says that it is missing
    ids = ids_of(shown_names(job), job.data_map.aliases, others=_gone(job))
    with contextlib.suppress(DatasetError):  # what cannot be read is not shown
        rest = table_with(table, ids, table_format(job.data_map))
        if rest is None:
            return replace(job, clinical=None)
        place.write_text(rest, encoding="utf-8", newline="")
    return replace(job, clinical=str(place), data_map=replace(job.data_map, encoding=""))


def show_features(job: Job, inputs: Path) -> str | None:
    """Put the features of a job's cases into `inputs`: those of the files that are there now.

    Return where, None where there are none.

    Raises:
        OSError: the disk refuses.
    """
    place = inputs / _FEATURES
    place.unlink(missing_ok=True)
    if job.features is None:
        return None
    gone = dict(job.withdrawn)
    rows = [row for row in read_table(Path(job.features)) if row.case_id not in gone]
    try:
        folder, clinical = Path(job.dataset_folder), _clinical(job)
        cases = find_cases(folder, clinical, data_map=job.data_map, without=gone)
    except (DatasetError, OSError):  # the trainer finds the same, and says it
        return None
    fresh = fresh_rows(rows, cases, job.spoiled)
    measured = {row.case_id for row in rows if row.sha256}
    if num_stale := len(measured) - len(fresh):
        fix = "fedmq node data features"
        log.warning("features_stale", cases=num_stale, fix=fix)
    if not fresh:
        return None
    place.write_text(table_text(fresh, with_files=False), encoding="utf-8", newline="")
    return str(place)


def _clinical(job: Job) -> Path | None:
    return None if job.clinical is None else Path(job.clinical)


def _gone(job: Job) -> frozenset[str]:
    return frozenset(plain_name(name) for name, _ in job.withdrawn)


def _arrange(job: Job) -> Arrangement | None:
    with contextlib.suppress(DatasetError):  # the trainer finds the same, and says it
        return read_arrangement(Path(job.dataset_folder), job.data_map)
    return None


def _places(
    job: Job, arrangement: Arrangement | None, *, is_withdrawn: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return where the withdrawn cases lie, or the others: own folders, and files with sidecars."""
    if arrangement is None:
        return (), ()
    gone, folder = _gone(job), Path(job.dataset_folder)
    cases = [name for name in arrangement.cases if (name in gone) is is_withdrawn]
    folders = tuple(place for name in cases for place in arrangement.folders[name])
    files = [path for name in cases for path in arrangement.files_of(name)]
    beside = [path for path in sidecars_of(files) if _says((folder / path).is_file, unseen=False)]
    return folders, (*files, *beside)


def _targets(job: Job, within: Collection[str] | None = None) -> Iterator[Path]:
    """Yield where links among the files of a dataset lead: next, and in the end.

    Of all that lies as deep as cases do and the table's, or of what is in these folders at the top.

    Raises:
        TrainingError: a link would lead elsewhere where no folder on its way is a link.
    """
    folder = Path(job.dataset_folder)
    paths: list[str] = []
    with contextlib.suppress(DatasetError):  # the trainer finds the same, and says it
        paths += [entry.path for entry in list_entries(folder, depth=depth_of(job.data_map))]
    if within is None:
        paths += _table_paths(job)
    for path in paths:
        if within is None or path.partition("/")[0] in within:
            with contextlib.suppress(OSError):  # one of them alone leads in a circle, or is closed
                yield from _ways(folder / path)


def _ways(place: Path) -> Iterator[Path]:
    """Yield where a link leads: next, and in the end; nothing of what is none."""
    if not place.is_symlink():
        return
    with contextlib.suppress(FileNotFoundError):  # what is not there may be a withdrawn case's
        place.stat()
    near, real = _real(place.parent) / place.readlink(), _real(place)
    if _real(Path(os.path.normpath(near))) != real:
        raise TrainingError(
            "the dataset cannot be shown to a plan",
            why="a link in it goes up (..) from a folder that is a link itself",
            fix="the node's operator links straight to where the files are",
        )
    yield near
    yield real


def _real(path: Path) -> Path:
    """Return a path without links; of those that lead in a circle `Path.resolve` raises."""
    return Path(os.path.realpath(path))


def _says(look: Callable[[], bool], *, unseen: bool) -> bool:
    """Return what a look at a place says; `unseen` where nobody lets this user look."""
    try:
        return look()
    except OSError:
        return unseen


def _table_paths(job: Job) -> tuple[str, ...]:
    """Return the table in the dataset's folder, and the folders on its way, where it is read."""
    if job.clinical is not None:
        return ()
    table = PurePosixPath(job.data_map.table)
    return tuple(str(one) for one in (*table.parents[:-1], table))
