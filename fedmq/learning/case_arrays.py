"""Arrays of cases, prepared once and kept in memory, up to a limit, while the process lives."""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import CHANNELS, Frame, PreparedCase, prepare_case
from fedmq.learning.modalities import Modalities, has_modalities
from fedmq.learning.plan import Task
from fedmq.learning.presence import Presence, find_presence

KEPT_BYTES: Final = 2 * 1024**3
"""A whole body at 4 mm takes some 80 MB, the demonstration's cases 0.1 MB."""

MOST_READERS: Final = 2
"""Of whole bodies, each may take a GB while it is unpacked and resampled."""

Floats = NDArray[np.float32]
_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """PET and CT of several cases."""

    arrays: Floats
    """Shape (n, 2, X, Y, Z), 0 to 1; zeros where a case lacks one of them."""
    presence: Presence
    """Shape (n, 2): true where it is there."""


class CaseMemory:
    """Prepared cases up to `limit_bytes`; beyond that the longest unused are forgotten.

    What is forgotten is read again when it is asked for: that takes time, not memory. A case whose
    files have changed is another case. Threads may share it.
    """

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._lock = Lock()
        self._kept: OrderedDict[_Key, PreparedCase] = OrderedDict()

    def read(self, case: Case, frame: Frame, *, with_mask: bool) -> PreparedCase:
        """Return the case as `frame` says; its arrays are read-only, since others get them too.

        Raises:
            DatasetError: a volume is missing or cannot be read.
        """
        key = _key_of(case, frame, with_mask=with_mask)
        with self._lock:
            prepared = self._kept.get(key)
        if prepared is None:
            prepared = prepare_case(case, frame, with_mask=with_mask)
            for array in (prepared.images, prepared.mask):
                if array is not None:
                    array.flags.writeable = False
        with self._lock:
            return self._keep(key, prepared)

    def _keep(self, key: _Key, prepared: PreparedCase) -> PreparedCase:
        """Return the case as the last used; of two that were prepared at once, the first."""
        kept = self._kept.pop(key, None)
        if kept is None:
            kept = prepared
            self._size_bytes += kept.size_bytes
        self._kept[key] = kept
        while self._size_bytes > self._limit_bytes:
            _, forgotten = self._kept.popitem(last=False)
            self._size_bytes -= forgotten.size_bytes
        return kept


# Of the process: a plan lives for one job, the trainer for the jobs of all rounds.
_MEMORY: Final = CaseMemory()


class CaseArrays:
    """Cases as one plan wants them."""

    def __init__(
        self, frame: Frame, *, with_masks: bool = False, memory: CaseMemory = _MEMORY
    ) -> None:
        self._frame = frame
        self._with_masks = with_masks
        self._memory = memory

    def read(self, case: Case) -> PreparedCase:
        """Return the arrays of a case; read-only.

        Raises:
            DatasetError: a volume is missing or cannot be read.
        """
        return self._memory.read(case, self._frame, with_mask=self._with_masks)

    def read_all(self, cases: Sequence[Case], *, num_readers: int = 1) -> list[PreparedCase]:
        """Return the arrays of `cases`, in their order, read by so many threads.

        Raises:
            DatasetError: a volume is missing or cannot be read; that of the first such case.
        """
        if min(num_readers, len(cases)) <= 1:
            return [self.read(case) for case in cases]
        with ThreadPoolExecutor(num_readers) as pool:
            return list(pool.map(self.read, cases))

    def images(self, cases: Sequence[Case], *, num_readers: int = 1) -> Images:
        """Return PET and CT of `cases`, whatever they have of it; the frame has a shape.

        Raises:
            DatasetError: as for `read_all`.
            ValueError: the frame has no shape.
        """
        if self._frame.shape is None:
            raise ValueError("cases of different shapes cannot be stacked")
        presence = find_presence(cases, CHANNELS)
        arrays = np.zeros((*presence.shape, *self._frame.shape), dtype=np.float32)
        places = np.flatnonzero(presence.any(axis=1))
        read = self.read_all([cases[place] for place in places.tolist()], num_readers=num_readers)
        for place, one in zip(places, read, strict=True):
            arrays[place] = one.images
        return Images(arrays=arrays, presence=presence)


def readers_of(task: Task) -> int:
    """Return how many threads read cases for a task; the number changes when, never what."""
    return min(task.num_threads, MOST_READERS)


def cases_with(cases: Sequence[Case], needed: Modalities) -> tuple[Case, ...]:
    """Return those of `cases` that have what is needed."""
    return tuple(case for case in cases if has_modalities(case.volumes, needed))


def _key_of(case: Case, frame: Frame, *, with_mask: bool) -> _Key:
    files: list[_Key] = []
    for modality, path in sorted(case.volumes.items()):
        if path.is_file():
            status = path.stat()
            files.append((modality, str(path), status.st_mtime_ns, status.st_size))
        else:  # gone: that is no case without it
            files.append((modality, str(path)))
    return (frame, with_mask, *files)
