"""A home in which only who leads changes files: every change asks first.

Files have no transactions: a program that sleeps between the question and the one call of the
system that follows it makes that change when it wakes, and no other.
"""

from pathlib import Path

from fedmq.disk import Disk
from fedmq.orchestrator.leadership import Leadership
from fedmq.transport.home import Home
from fedmq.transport.journal import Journal


class FencedDisk:
    """One folder of files (`fedmq.disk.Disk`); what changes one raises LeaseLost once replaced."""

    def __init__(self, disk: Disk, leadership: Leadership) -> None:
        self.bare = disk
        self._leadership = leadership

    def path(self, name: str) -> Path:
        """Return where the file is."""
        return self.bare.path(name)

    def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` from `offset` on."""
        return self.bare.read(name, offset, size_bytes)

    def write(self, name: str, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset` of a file."""
        self._leadership.require()
        self.bare.write(name, offset, data)

    def sync(self, name: str) -> None:
        """Return once the bytes of a file outlive a crash."""
        self.bare.sync(name)

    def sync_names(self) -> None:
        """Return once the names of all files outlive a crash."""
        self.bare.sync_names()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name."""
        self._leadership.require()
        self.bare.rename(old, new)

    def link(self, name: str, other: Disk, new: str) -> None:
        """Give a file a name in another folder too."""
        self._leadership.require()
        bare = other.bare if isinstance(other, FencedDisk) else other
        self.bare.link(name, bare, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._leadership.require()
        self.bare.remove(name)

    def size_bytes(self, name: str) -> int | None:
        """Return the length of a file."""
        return self.bare.size_bytes(name)

    def names(self) -> tuple[str, ...]:
        """Return the names of all files."""
        return self.bare.names()


class FencedHome:
    """What a program that leads keeps (`fedmq.transport.home.Home`)."""

    def __init__(self, home: Home, leadership: Leadership) -> None:
        self._home = home
        self._leadership = leadership

    def disk(self, *names: str) -> FencedDisk:
        """Return a folder."""
        return FencedDisk(self._home.disk(*names), self._leadership)

    def journal(self, *schemas: str) -> Journal:
        """Return the journal."""
        return self._home.journal(*schemas)

    def free_bytes(self) -> int:
        """Return how much room its disk says to have."""
        return self._home.free_bytes()

    def has_room(self, size_bytes: int) -> bool:
        """Return whether so much can be written now."""
        return self._home.has_room(size_bytes)
