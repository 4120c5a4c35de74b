"""A home for programs that live as long as this process and no longer: nothing outlives a crash."""

import sqlite3
from pathlib import Path

from fedmq.disk import LocalDisk
from fedmq.simulation.disk import SimulatedJournal
from fedmq.transport.home import LocalHome


class PassingDisk(LocalDisk):
    """A folder of the machine that nobody looks into after a crash."""

    def sync(self, name: str) -> None:
        """Return at once."""


class PassingHome(LocalHome):
    """Payloads are files, since plans read and write files; the journal is in memory."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(":memory:", isolation_level=None)

    def disk(self, *names: str) -> PassingDisk:
        """Return the folder that the names lead to, made if need be."""
        return PassingDisk(self._folder.joinpath(*names))

    def journal(self, *schemas: str) -> SimulatedJournal:
        """Return the journal, with these tables; it is one, however often it is opened."""
        for schema in schemas:
            self._connection.executescript(schema)
        return SimulatedJournal(self._connection, _nothing_happens)

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so much can be written now, as far as the disk says."""
        return size_bytes <= self.free_bytes()

    def close(self) -> None:
        """Give the journal's memory back."""
        self._connection.close()


def _nothing_happens(_word: str) -> None:
    """No program is killed here."""
