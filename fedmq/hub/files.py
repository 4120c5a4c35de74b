"""Files of the hub's folder: whole, durable, and for their owner alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedmq.disk import LocalDisk
from fedmq.errors import StorageError


def replace_file(path: Path, text: str) -> None:
    """The file holds `text` after a crash too, or what it held before; only its owner reads it.

    Raises:
        StorageError: the disk refuses.
    """
    disk, passing = LocalDisk(path.parent), f".{path.name}.new"
    with _alone(path.parent):
        disk.remove(passing)
        disk.write(passing, 0, text.encode())
        disk.sync(passing)
        disk.rename(passing, path.name)
        disk.sync_names()


def make_folder(path: Path) -> None:
    """The folder is there, and only its owner looks into it.

    Raises:
        StorageError: the disk refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise StorageError(
            f"the folder {path} cannot be made",
            why=error.strerror or str(error),
            fix="choose a folder of your own with FEDMQ_HOME",
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others from writing to a folder meanwhile: their passing files have the same names."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # whoever writes then says what is wrong
        yield
        return
    try:
        with suppress(OSError):  # some file systems lock no folders
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes and threads from the same part of the folder for this while."""
    make_folder(path.parent)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
