"""The cases that a plan is shown: none that is withdrawn, neither its files nor its row.

A dataset of which nothing is withdrawn is shown as it is. Of any other a plan sees the folders of
the cases that are left, by links in a folder of its cell, and a copy of the clinical table without
the rows of those that went. What else lies in the dataset's folder may tell of them, and is hidden.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from fedmq.errors import DatasetError, TrainingError
from fedmq.imaging.clinical import table_without
from fedmq.imaging.datasets import CLINICAL_FILE, case_names, find_cases
from fedmq.imaging.feature_table import fresh_rows, read_table, table_text
from fedmq.learning.trainer_protocol import Job

_CASES: Final = "cases"
_FEATURES: Final = "features.csv"

log = structlog.get_logger()


def shown_names(job: Job) -> frozenset[str]:
    """Return the names of the cases that a plan may read now: those whose folders it is shown."""
    gone = dict(job.withdrawn)
    with contextlib.suppress(OSError):
        return frozenset(name for name in case_names(Path(job.dataset_folder)) if name not in gone)
    return frozenset()


def readable_paths(job: Job, home: Path) -> tuple[Path, ...]:
    """Return what the trainer of a job may read: its cases, and where links in them lead.

    Raises:
        TrainingError: `home`, the node's own folder, or a withdrawn case would be among it.
    """
    folder = Path(job.dataset_folder)
    if job.withdrawn:
        paths = [folder / name for name in sorted(shown_names(job))]
        links = list(paths)
    else:
        paths = [folder]
        if job.clinical is not None:
            paths.append(Path(job.clinical))
        links = []
        with contextlib.suppress(OSError):  # the trainer finds the same, and says it
            links = list(folder.iterdir())
    paths += _targets(links)
    resolved = [path.resolve() for path in paths]
    if any(home.resolve().is_relative_to(path) for path in resolved):
        raise TrainingError(
            "the dataset cannot be shown to a plan",
            why="its folder, or a link in it, holds the node's own folder",
            fix="the node's operator keeps FEDMQ_HOME outside of datasets",
        )
    hidden = [(folder / name).resolve() for name, _ in job.withdrawn if (folder / name).exists()]
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
    if not job.withdrawn or not folder.is_dir():
        return job
    place.mkdir()
    for name in shown_names(job):
        (place / name).symlink_to(folder / name)
    table, shown = Path(job.clinical or folder / CLINICAL_FILE), place / CLINICAL_FILE
    if not table.is_file():
        clinical = job.clinical  # the trainer says that it is missing
    else:
        with contextlib.suppress(DatasetError):  # what cannot be read is not shown
            rest = table_without(table, dict(job.withdrawn))
            if rest is None:
                return replace(job, dataset_folder=str(place), clinical=None)
            shown.write_text(rest, encoding="utf-8", newline="")
        clinical = str(shown)
    return replace(job, dataset_folder=str(place), clinical=clinical)


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
        clinical = None if job.clinical is None else Path(job.clinical)
        cases = find_cases(Path(job.dataset_folder), clinical, without=gone)
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


def _targets(places: Iterable[Path]) -> Iterator[Path]:
    """Yield where these, and what lies in their folders, lead as links: next, and in the end."""
    for place in places:
        inside: list[Path] = []
        if place.is_dir() and not place.name.startswith("."):
            with contextlib.suppress(OSError):
                inside = list(place.iterdir())
        for one in (place, *inside):
            if one.is_symlink():
                yield one.parent / one.readlink()
                yield one.resolve()
