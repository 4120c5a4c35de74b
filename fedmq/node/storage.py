"""Storage: the files of a node's home: payloads, and what the worker leaves behind."""

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from fedmq.disk import StoredFile
from fedmq.errors import DiskFull
from fedmq.messages.payloads import CHUNK_BYTES
from fedmq.node.residuals import Residuals
from fedmq.transport.home import RESERVE_BYTES, Home
from fedmq.transport.spool import Spool
from fedmq.types import DIGEST_PATTERN, Digest

PAYLOADS: Final = "payloads"
SCRATCH: Final = "scratch"
RESIDUALS: Final = "residuals"
_OUTPUT: Final = ".output"


class Storage:
    """The spool of a node and its scratch folder; what nobody needs goes from both."""

    def __init__(self, home: Home, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._home = home
        self._payloads = home.disk(PAYLOADS)
        self._scratch = home.disk(SCRATCH)
        self._released: list[Digest] = []
        self._ended: list[str] = []
        self.residuals = Residuals(home.disk(RESIDUALS))
        self.spool = Spool(self._payloads, chunk_bytes=chunk_bytes)

    def release(self, digests: tuple[Digest, ...]) -> None:
        """Remove payloads at the next `clear`: once the journal says that nobody needs them."""
        self._released.extend(digests)

    def end_experiment(self, experiment: str) -> None:
        """Remove what stayed unsent of an experiment's updates at the next `clear`."""
        self._ended.append(experiment)

    def clear(self) -> None:
        """Remove what was released."""
        while self._ended:
            self.residuals.prune(self._ended.pop(), keep=frozenset())
        if self._released:
            self.spool.remove(*self._released)
            self._released.clear()

    def sweep(self, is_needed: Callable[[str], bool]) -> None:
        """Remove payloads that nobody needs, and what a life that was cut short left of others."""
        for name in self.unneeded(is_needed):
            stem = name.partition(".")[0]
            if _is_digest(stem):
                self.spool.remove(Digest(stem))  # which forgets what it knows of it
            else:
                self._payloads.remove(name)

    def unneeded(self, is_needed: Callable[[str], bool]) -> tuple[str, ...]:
        """Return the names of the files that `sweep` removes."""
        stems = {name: name.partition(".")[0] for name in self._payloads.names()}
        return tuple(
            name for name, stem in stems.items() if not (_is_digest(stem) and is_needed(stem))
        )

    def outputs_of_none(self, tasks: AbstractSet[str]) -> tuple[str, ...]:
        """Return the names of the files of parameters that are of none of these tasks."""
        return tuple(
            name
            for name in self._scratch.names()
            if _OUTPUT in name and name.partition(_OUTPUT)[0] not in tasks
        )

    # Trained parameters, as the worker leaves them.

    def output_path(self, name: str) -> Path:
        """Return where the worker puts the parameters of a task."""
        return self._scratch.path(name + _OUTPUT)

    def has_output(self, name: str) -> bool:
        """Return whether the worker left parameters of a task."""
        return self._scratch.size_bytes(name + _OUTPUT) is not None

    def output(self, name: str) -> StoredFile:
        """Return the parameters of a task, to be read piece by piece."""
        return StoredFile(self._scratch, name + _OUTPUT)

    def discard(self, name: str) -> None:
        """Remove a file that was to become a payload."""
        self.spool.discard(name)

    def require_room(self, size_bytes: int) -> None:
        """Return if so much can be written, and the reserve beside it.

        Raises:
            DiskFull: it cannot.
        """
        if not self._home.has_room(RESERVE_BYTES + size_bytes):
            raise DiskFull("a task cannot be done", why="it needs more room", fix="free space")

    def sync_output(self, name: str) -> None:
        """Return once the parameters of a task outlive a crash.

        Raises:
            StorageError: they are not there, or the disk fails.
        """
        self._scratch.sync(name + _OUTPUT)
        self._scratch.sync_names()

    def remove_output(self, name: str) -> None:
        """Remove the parameters of a task, whole or not."""
        for leftover in (name + _OUTPUT, f"{name}{_OUTPUT}.part"):
            self._scratch.remove(leftover)

    def sweep_outputs(self) -> None:
        """Remove the parameters of all tasks."""
        for name in self._scratch.names():
            if _OUTPUT in name:
                self._scratch.remove(name)


def _is_digest(text: str) -> bool:
    return re.fullmatch(DIGEST_PATTERN, text) is not None
