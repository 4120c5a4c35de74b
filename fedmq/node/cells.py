"""The cells of trainers: what a job may read, how its files get in, and its output out.

A trainer sees the folder of its dataset and its own: the model and the plan's source of the job in
hand are linked into that, under names that stay, and it fills one file that is made for it.
"""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from fedmq.containment.cell import INPUTS, OUTPUTS, Cell
from fedmq.errors import DiskFull, StorageError, TrainingError
from fedmq.learning.trainer_protocol import Done, Job

_MODEL: Final = "model"
_SOURCE: Final = "plan"
_OUTPUT: Final = "output"
_MARGIN_BYTES: Final = 16 * 2**20
_BLOCK_BYTES: Final = 512
_CELL_FILE: Final = "cell.json"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def make_cell(cell: Cell) -> Path:
    """Make the folders of a cell; return the file that says what it is.

    Raises:
        OSError: the disk refuses.
    """
    cell.make()
    path = cell.folder / _CELL_FILE
    path.write_text(cell.to_json(), encoding="utf-8")
    return path


def readable_paths(job: Job, home: Path) -> tuple[Path, ...]:
    """Return what the trainer of a job may read: the dataset, and where links in it lead.

    Raises:
        TrainingError: `home`, the node's own folder, would be among it.
    """
    paths = [Path(job.dataset_folder)]
    if job.clinical is not None:
        paths.append(Path(job.clinical))
    with contextlib.suppress(OSError):  # the trainer finds the same, and says it
        paths += _targets(paths[0])
    for path in paths:
        if home.resolve().is_relative_to(path.resolve()):
            raise TrainingError(
                "the dataset cannot be shown to a plan",
                why="its folder, or a link in it, holds the node's own folder",
                fix="the node's operator keeps FEDMQ_HOME outside of datasets",
            )
    return tuple(dict.fromkeys(paths))


def hand_in(job: Job, folder: Path) -> Job:
    """Put the files of a job into the cell in `folder`; return the job with its paths in there.

    Those of the job before are gone. What is not there stays so: the trainer says it.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        model = _link(job.parameters_path, folder / INPUTS / _MODEL)
        source = _link(job.source_path, folder / INPUTS / _SOURCE)
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
        job,
        parameters_path=model,
        source_path=source,
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
    """Return how large the output of a job may get: it has the model's arrays."""
    with contextlib.suppress(OSError):
        if job.output_path is not None and job.parameters_path is not None:
            return 2 * Path(job.parameters_path).stat().st_size + _MARGIN_BYTES
    return 0


def count_fault(job: Job, done: Done) -> str:
    """Return what is wrong with the counts of an answer, "" for nothing.

    They weigh the update, and a plan may have changed who counts.
    """
    most = sum(1 for _ in _case_folders(Path(job.dataset_folder)))
    told = (done.num_cases, done.num_training_cases + done.num_validation_cases)
    return f"{max(told)} cases are told of {most}" if max(told) > most else ""


def size_bytes(folder: Path) -> int:
    """Return how much the files below a folder take, as far as it can be seen."""
    total = 0
    with contextlib.suppress(RecursionError):  # deeper than anybody needs; Linux bounds the rest
        for place, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    total += Path(place, name).lstat().st_blocks * _BLOCK_BYTES
    return total


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that a plan has left in it, however deep."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["/bin/rm", "-rf", str(folder)], check=False)  # noqa: S603 - our own path


def _case_folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for place in folder.iterdir():
            if place.is_dir() and not place.name.startswith("."):
                yield place


def _targets(folder: Path) -> Iterator[Path]:
    """Yield where links to cases, and to files of cases, lead: next, and in the end."""
    of_cases = (one for case in _case_folders(folder) for one in case.iterdir())
    for place in (*folder.iterdir(), *of_cases):
        if place.is_symlink():
            yield place.parent / place.readlink()
            yield place.resolve()


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
