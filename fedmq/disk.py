"""The port to a disk: what services keep files on, so that a simulation can give them another.

A file is named by a plain name within one folder. What was written is there after a crash only once
it was synced; a simulated disk may lose or tear everything else.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from fedmq.errors import DiskFull, StorageError

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says where a disk is full, or a user's share of it."""

_WORTH_BYTES: Final = 128 * 1024
_BEGIN_WRITING: Final = 2
"""SYNC_FILE_RANGE_WRITE."""

T = TypeVar("T")


class Disk(Protocol):
    """One folder of files."""

    def path(self, name: str) -> Path:
        """Return where the file is, for what reads or writes it by itself."""

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` from `offset` on; less where the file ends before."""

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset` of a file, which is made or grows with zeros if need be."""

    def sync(self, name: str) -> None:
        """Return once the bytes of a file outlive a crash; its name is another thing."""

    def sync_names(self) -> None:
        """Return once the names of all files outlive a crash."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in the place of a file that had it."""

    def link(self, name: str, other: "Disk", new: str) -> None:
        """Give a file a name in another folder too; its bytes are shared."""

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""

    def size_bytes(self, name: str) -> int | None:
        """Return the length of a file, None where there is none."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""


class LocalDisk:
    """A folder of the machine.

    Every fault of the system below is a StorageError; it is DiskFull where there is no room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = f"{folder}{os.sep}"
        """Paths are made for each read and write: to join text takes a tenth of the time."""
        _guarded(lambda: folder.mkdir(parents=True, exist_ok=True), folder.name)

    def path(self, name: str) -> Path:
        """Return where the file is, for a process that reads it by itself."""
        return self._folder / name

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` from `offset` on; less where the file ends before."""

        def act() -> bytes:
            descriptor = os.open(self._prefix + name, os.O_RDONLY)
            try:
                return os.pread(descriptor, size_bytes, offset)
            finally:
                os.close(descriptor)

        return _guarded(act, name)

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset` of a file, which is made or grows with zeros if need be."""

        def act() -> None:
            descriptor = os.open(self._prefix + name, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                view = memoryview(data).cast("B")
                written = 0
                while written < len(view):
                    written += os.pwrite(descriptor, view[written:], offset + written)
                begin_sync(descriptor, offset, len(view))
            finally:
                os.close(descriptor)

        _guarded(act, name)

    def sync(self, name: str) -> None:
        """Return once the bytes of a file outlive a crash; its name is another thing."""
        _guarded(lambda: _sync(self._prefix + name, os.O_RDWR), name)

    def sync_names(self) -> None:
        """Return once the names of all files outlive a crash."""
        _guarded(lambda: _sync(self._prefix, os.O_RDONLY), self._folder.name)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in the place of a file that had it."""
        _guarded(lambda: os.replace(self._prefix + old, self._prefix + new), old)  # noqa: PTH105 - as above

    def link(self, name: str, other: Disk, new: str) -> None:
        """Give a file a name in another folder too; its bytes are shared."""
        _guarded(lambda: other.path(new).hardlink_to(self.path(name)), new)

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error."""

        def act() -> None:
            with suppress(FileNotFoundError):
                os.unlink(self._prefix + name)  # noqa: PTH108 - a Path takes longer

        _guarded(act, name)

    def size_bytes(self, name: str) -> int | None:
        """Return the length of a file, None where there is none."""

        def act() -> int | None:
            try:
                return os.stat(self._prefix + name).st_size  # noqa: PTH116 - a Path takes longer
            except (FileNotFoundError, NotADirectoryError):
                return None

        return _guarded(act, name)

    def names(self) -> tuple[str, ...]:
        """Return the names of all files, sorted."""
        with os.scandir(self._folder) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_file()))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file on a disk, for who reads it piece by piece."""

    disk: Disk
    name: str

    @property
    def size_bytes(self) -> int:
        """Its length.

        Raises:
            StorageError: there is no such file.
        """
        size = self.disk.size_bytes(self.name)
        if size is None:
            raise StorageError(f"{self.name} is not there")
        return size

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` from `offset` on; less where the file ends before."""
        return self.disk.read(self.name, offset, size_bytes)


class NewFile:
    """A file that is written from its beginning; one of that name is replaced."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self.size_bytes = 0
        """Of what was written so far."""
        disk.remove(name)

    def write(self, data: bytes | memoryview) -> None:
        """Write `data` behind what is there."""
        self.write_at(self.size_bytes, data)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`; what lies between it and what is there is zeros."""
        self._disk.write(self._name, offset, data)
        self.size_bytes = max(self.size_bytes, offset + memoryview(data).nbytes)


def begin_sync(descriptor: int, offset: int, size_bytes: int) -> None:
    """Have Linux begin to write what was written to a file, so that its sync has less to wait for.

    Nothing is waited for here, and nothing is promised: where it cannot be had, or the bytes are
    few, the sync does it all. See sync_file_range(2).
    """
    begin = _sync_file_range()
    if begin is not None and size_bytes >= _WORTH_BYTES:
        begin(descriptor, offset, size_bytes, _BEGIN_WRITING)


@cache
def _sync_file_range() -> Any:  # noqa: ANN401 - a function of the C library, or None
    found = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return found


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _guarded(act: Callable[[], T], name: str) -> T:
    """Return what `act` returns; an OSError becomes a StorageError that names the file."""
    try:
        return act()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        what = f"{name} could not be read or written"
        if error.errno in NO_ROOM:
            raise DiskFull(what, why=why, fix="free space on the disk") from error
        raise StorageError(
            what,
            why=why,
            fix="give the program the right to its folder, or look after the disk",
        ) from error
