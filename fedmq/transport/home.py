"""The port to what a program keeps: folders of files and one journal, together its home."""

from pathlib import Path
from typing import Final, Protocol

from fedmq.disk import Disk, LocalDisk
from fedmq.transport.journal import Journal

JOURNAL_NAME: Final = "journal.sqlite"


class Home(Protocol):
    """Where one program keeps what must outlive it."""

    def disk(self, *names: str) -> Disk:
        """Return the folder that the names lead to, made if need be."""

    def journal(self, *schemas: str) -> Journal:
        """Return the journal, with these tables."""


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
