"""The cells of trainers: how the files of a job get in, and its output out.

A trainer sees its cases (`shown_cases`) and a folder of its own: the model and the plan's source of
the job in hand are linked into that, under names that stay, and it fills one file that is made for
it.
"""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from fedmq.containment.cell import INPUTS, OUTPUTS, Cell
from fedmq.errors import DiskFull, StorageError
from fedmq.learning.trainer_protocol import Done, Job, JobKind
from fedmq.node.shown_cases import show_cases, show_features

_MODEL: Final = "model"
_SOURCE: Final = "plan"
_OUTPUT: Final = "output"
_MARGIN_BYTES: Final = 16 * 2**20
_CELL_FILE: Final = "cell.json"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

log = structlog.get_logger()


def make_cell(cell: Cell) -> Path:
    """Make the folders of a cell; return the file that says what it is.

    Raises:
        OSError: the disk refuses.
    """
    cell.make()
    path = cell.folder / _CELL_FILE
    path.write_text(cell.to_json(), encoding="utf-8")
    return path


def hand_in(job: Job, folder: Path) -> Job:
    """Put the files of a job into the cell in `folder`; return the job with its paths in there.

    Those of the job before are gone. What is not there stays so: the trainer says it.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        model = _link(job.parameters_path, folder / INPUTS / _MODEL)
        source = _link(job.source_path, folder / INPUTS / _SOURCE)
        features = show_features(job, folder / INPUTS)
        shown = show_cases(job, folder / INPUTS)
        output = folder / OUTPUTS / _OUTPUT
        _remove(output)
        if job.output_path is not None:
            output.touch(0o600)
    except OSError as error:
        kind = DiskFull if error.errno in _NO_ROOM else StorageError
        raise kind(
            "the files of a task could not be handed to its trainer",
            why=error.strerror or "",
            fix="free space, or look after the disk",
        ) from error
    return replace(
        shown,
        parameters_path=model,
        source_path=source,
        features=features,
        output_path=None if job.output_path is None else str(output),
    )


def take_out(job: Job, folder: Path) -> str:
    """Move the output of a job to its place; return what is wrong with it, "" for nothing.

    The plan may have put anything there. It is looked at where the plan cannot change it any more,
    before anybody opens it.
    """
    if job.output_path is None:
        return ""
    place = Path(job.output_path)
    try:
        (folder / OUTPUTS / _OUTPUT).replace(place)
        found = place.lstat()
    except OSError:
        return "the trained parameters are not there"
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        _remove(place)
        return "the trained parameters are no file of their own"
    return ""


def output_bytes(job: Job) -> int:
    """Return how large the output of a job may get: it has the model's arrays.

    Those that came narrow are up to four times as large when they leave.
    """
    times = 8 if job.is_narrow else 2
    with contextlib.suppress(OSError):
        if job.output_path is not None and job.parameters_path is not None:
            return times * Path(job.parameters_path).stat().st_size + _MARGIN_BYTES
    return 0


def answer_fault(job: Job, done: Done, shown: Collection[str]) -> str:
    """Return what is wrong with the cases that an answer tells, "" for nothing.

    Their number weighs the update, and a plan may have changed who counts and who names them.
    `shown` are those that it could read.
    """
    split = done.num_training_cases + done.num_validation_cases
    if (most := max(done.num_cases, split)) > len(shown):
        return f"{most} cases are told of {len(shown)}"
    num_given = {
        JobKind.PREPARE: 0,
        JobKind.TRAIN: done.num_training_cases,
        JobKind.EVALUATE: done.num_validation_cases,
    }[job.kind]
    names = set(done.cases)
    if not len(names) == len(done.cases) == num_given:
        return f"{len(names)} cases are named, {num_given} are counted"
    if not names <= set(shown):
        return "cases are named that the plan was not shown"
    return ""


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that a plan has left in it, however deep, or closed by its mode.

    What stays all the same is told in the log.
    """
    with contextlib.suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        # They follow no link, and go deeper than a path can say.
        for command in (["/bin/chmod", "-R", "u+rwx"], ["/bin/rm", "-rf"]):
            subprocess.run(  # noqa: S603 - our own path
                [*command, "--", str(folder)], check=False, stderr=subprocess.DEVNULL
            )
    if os.path.lexists(folder):
        log.warning("folder_not_removed", fix="remove by hand what is left in the node's folder")


def _link(source: str | None, place: Path) -> str | None:
    """Give a file a second name, or copy it where it lies on another disk."""
    _remove(place)
    if source is None:
        return None
    if Path(source).is_file():
        try:
            place.hardlink_to(source)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            shutil.copyfile(source, place)
    return str(place)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)
