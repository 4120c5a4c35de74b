"""Kept cases: the folders in which trainers keep what they have prepared, one for each trainer.

A folder belongs to an experiment, a dataset as it is with the cases withdrawn so far, and a plan:
code that nobody trusts writes there, so no other experiment reads it, and nothing of it outlives
what it was made for. The node never reads these files; it counts their bytes and removes them.
"""

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.node.cells import remove_folder
from fedmq.node.footprint import KEPT_MARGIN_BYTES, disk_bytes
from fedmq.types import Digest, ExperimentId

KEPT_CASES: Final = "cases"
"""The folder's name in a node's home."""
DEFAULT_BYTES: Final = 20 * 2**30
"""Two hundred whole bodies at a PET's own spacing take 12 GB."""
_SHORT: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one trainer keeps prepared cases."""

    folder: Path
    limit_bytes: int
    """Of the folder, as long as the others are as large as they are."""


class KeptCases:
    """The folders below one, which together hold `limit_bytes`; with 0 there are none."""

    def __init__(self, folder: Path, *, limit_bytes: int = DEFAULT_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._granted: dict[Path, int] = {}
        """What each folder that is there may hold, as it was said last."""

    def place(
        self,
        experiment: ExperimentId,
        *,
        plan_digest: Digest,
        dataset: str,
        withdrawn: Collection[str],
    ) -> Place | None:
        """Return the folder for such a trainer, made if need be; None: it goes without.

        Of the dataset with other cases withdrawn nothing stays, whoever had it. A folder that holds
        more than was granted, or hides what it holds, is begun anew: all that is lost is time.
        """
        of_dataset = _digest(dataset)
        as_it_is = f"{of_dataset}-{_digest(*sorted(withdrawn))}-"
        folder = self._folder / experiment / (as_it_is + _digest(plan_digest))
        if not self._limit_bytes or not _is_name(experiment):
            return None
        try:
            for other in self._of_dataset(of_dataset):
                if not other.name.startswith(as_it_is):
                    remove_folder(other)
            others = self._bytes_beside(folder)
            room = max(0, self._limit_bytes - others)
            granted = self._granted.get(folder, 0)
            own = disk_bytes(folder)
            if own > max(room, granted) + KEPT_MARGIN_BYTES:
                remove_folder(folder)
                own = 0
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return None  # the disk refuses: what it would save is time
        # One that is larger than the room, since others have grown, stays as it is.
        self._granted[folder] = limit = max(room, min(own, granted))
        return Place(folder=folder, limit_bytes=limit)

    def _bytes_beside(self, folder: Path) -> int:
        """Return what the other folders hold; those that nobody was granted are gone."""
        sizes = {one: disk_bytes(one) for one in self._folder.glob("*/*") if one != folder}
        for one in [one for one in sizes if sizes[one] > self._limit_bytes + KEPT_MARGIN_BYTES]:
            remove_folder(one)
            del sizes[one]
        self._granted = {
            one: limit for one, limit in self._granted.items() if one in sizes or one == folder
        }
        return sum(sizes.values())

    def end_experiment(self, experiment: ExperimentId) -> None:
        """Remove what was prepared for an experiment."""
        if _is_name(experiment):
            remove_folder(self._folder / experiment)

    def end_dataset(self, dataset: str) -> None:
        """Remove what was prepared of a dataset, for all experiments."""
        for folder in self._of_dataset(_digest(dataset)):
            remove_folder(folder)

    def sweep(self, is_running: Callable[[str], bool]) -> None:
        """Remove what was prepared for experiments that are over."""
        for folder in self.unneeded(is_running):
            remove_folder(folder)

    def unneeded(self, is_running: Callable[[str], bool]) -> tuple[Path, ...]:
        """Return the folders that `sweep` removes."""
        folders: list[Path] = []
        with contextlib.suppress(OSError):
            folders = sorted(self._folder.iterdir())
        return tuple(one for one in folders if not is_running(one.name))

    def _of_dataset(self, digest: str) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from sorted(self._folder.glob(f"*/{digest}-*"))


def _digest(*words: str) -> str:
    digest = hashlib.sha256()
    for word in words:
        digest.update(word.encode() + b"\0")
    return digest.hexdigest()[:_SHORT]


def _is_name(experiment: str) -> bool:
    """Return whether an id is one plain name, as ids of experiments are."""
    return experiment not in ("", "..") and Path(experiment).name == experiment
