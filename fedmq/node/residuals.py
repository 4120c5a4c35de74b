"""Residuals: what an encoding left unsent of a node's updates, kept to be added to the next one.

A residual is named by the round and attempt whose update it was left by, and never changes: work
that is done again begins with the same one and makes the same bytes. Which one an update begins
with, the orchestrator's request says: that of the newest update which is in a model. So what an
update did that came too late is as if the node had not been asked: its residual is never used.

One that was made before a case was withdrawn has something of that case in it, and is not used
either: how many cases of the dataset were withdrawn is part of the name.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fedmq.disk import Disk, NewFile, StoredFile

_PART = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualKey:
    """Whose residual it is."""

    experiment: str
    round: int
    attempt: int
    num_withdrawn: int
    """Cases of the dataset that were withdrawn when it was made."""

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.experiment}.{self.round}.{self.attempt}.{self.num_withdrawn}"


class Residuals:
    """The residuals of one node, by experiment; they leave the site in no message."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def find(self, key: ResidualKey) -> StoredFile | None:
        """Return a residual to be read piece by piece, None where there is none."""
        is_here = self._disk.size_bytes(key.name) is not None
        return StoredFile(self._disk, key.name) if is_here else None

    def new_file(self, key: ResidualKey) -> NewFile:
        """Return a file to write a residual to, which is then kept."""
        return NewFile(self._disk, key.name + _PART)

    def keep(self, key: ResidualKey) -> None:
        """Return once what was written outlives a crash, under its name.

        Raises:
            StorageError: the disk fails.
        """
        self._disk.sync(key.name + _PART)
        self._disk.rename(key.name + _PART, key.name)
        self._disk.sync_names()

    def discard(self, key: ResidualKey) -> None:
        """Remove a file that was to be kept."""
        self._disk.remove(key.name + _PART)

    def prune(self, experiment: str, *, keep: AbstractSet[ResidualKey]) -> None:
        """Remove those of an experiment that no request can name any more."""
        kept = {key.name for key in keep}
        for name in self._disk.names():
            if name.partition(".")[0] == experiment and name not in kept:
                self._disk.remove(name)

    def sweep(self, is_running: Callable[[str], bool]) -> None:
        """Remove those of experiments that are over."""
        for name in self.unneeded(is_running):
            self._disk.remove(name)

    def unneeded(self, is_running: Callable[[str], bool]) -> tuple[str, ...]:
        """Return the names of the files that `sweep` removes."""
        return tuple(name for name in self._disk.names() if not is_running(name.partition(".")[0]))
