"""The port to what a program keeps: folders of files and one journal, together its home."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fedmq.disk import NO_ROOM, Disk, LocalDisk
from fedmq.errors import StorageError
from fedmq.transport.journal import Journal

JOURNAL_NAME: Final = "journal.sqlite"
RESERVE_BYTES: Final = 16 * 2**20
"""So much room a service wants beside what it has to write: journals and logs grow."""
_MEGA: Final = 1_000_000


class Home(Protocol):
    """Where one program keeps what must outlive it."""

    def disk(self, *names: str) -> Disk:
        """Return the folder that the names lead to, made if need be."""

    def journal(self, *schemas: str) -> Journal:
        """Return the journal, with these tables."""

    def free_bytes(self) -> int:
        """Return how much room its disk says to have."""

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so much can be written now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The room on a program's disk, and what it needs to go on."""

    needed_bytes: int
    free_bytes: int

    @property
    def is_enough(self) -> bool:
        """Whether the program can go on."""
        return self.free_bytes >= self.needed_bytes

    def __str__(self) -> str:
        """Return both in words."""
        return f"{self.needed_bytes / _MEGA:.0f} MB needed, {self.free_bytes / _MEGA:.0f} MB free"


class LocalHome:
    """A folder of the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def disk(self, *names: str) -> LocalDisk:
        """Return the folder that the names lead to, made if need be.

        Raises:
            StorageError: it cannot be made.
        """
        return LocalDisk(self._folder.joinpath(*names))

    def journal(self, *schemas: str) -> Journal:
        """Return the journal, with these tables.

        Raises:
            StorageError: it cannot be opened.
        """
        return Journal(self._folder / JOURNAL_NAME, *schemas)

    def free_bytes(self) -> int:
        """Return how much room its disk says to have; a user's share of it may be less.

        Raises:
            StorageError: the folder is not there.
        """
        try:
            found = os.statvfs(self._folder)
        except OSError as error:
            raise _unreadable(error) from error
        return found.f_bavail * found.f_frsize

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so much can be written now: it is reserved, and given back.

        Raises:
            StorageError: the folder cannot be written, whatever its room.
        """
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError as error:
            if error.errno in NO_ROOM:
                return False
            raise _unreadable(error) from error
        return True


def _unreadable(error: OSError) -> StorageError:
    return StorageError(
        "the program's folder could not be read or written",
        why=error.strerror or str(error),
        fix="give the program the right to its folder, or look after the disk",
    )
