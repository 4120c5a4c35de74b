"""Arrays of cases, prepared once: kept in a cache's folder, or in memory up to a limit.

A plan is given what is stored (`fedmq.imaging.stored`), whether it was prepared just now, kept in
memory or in a folder, or kept nowhere: the bits are the same.
"""

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.cache import CaseCache, case_key
from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import CHANNELS, Frame, PreparedCase, prepare_case
from fedmq.imaging.stored import StoredCase, from_stored, store_case
from fedmq.learning.modalities import Modalities, has_modalities
from fedmq.learning.plan import Task
from fedmq.learning.presence import Presence, find_presence

KEPT_BYTES: Final = 2 * 1024**3
"""A whole body at 4 mm takes some 40 MB, the demonstration's cases 0.1 MB."""

MOST_READERS: Final = 2
"""Of whole bodies, each may take a GB while it is unpacked and resampled."""

_MOST_KEPT: Final = 1024
"""Each that lies in a file has it open, and a trainer may have a few thousand open files."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """PET and CT of several cases."""

    arrays: Floats
    """Shape (n, 2, X, Y, Z), 0 to 1; zeros where a case lacks one of them."""
    presence: Presence
    """Shape (n, 2): true where it is there."""


class CaseMemory:
    """Stored cases up to `limit_bytes`; beyond that the longest unused are forgotten.

    What is forgotten is read again when it is asked for: that takes time, not memory. A case whose
    files have changed is another case. Of those in a cache the pages are the system's: it forgets
    them by itself. Threads may share it.
    """

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._lock = Lock()
        self._kept: OrderedDict[str, StoredCase] = OrderedDict()
        self._cache: CaseCache | None = None

    def keep_in(self, cache: CaseCache | None) -> None:
        """Look for cases in `cache` first, and leave new ones there; None: in memory alone."""
        self._cache = cache

    def read(self, case: Case, frame: Frame, *, with_mask: bool) -> StoredCase:
        """Return the case as `frame` says; its arrays are read-only, since others get them too.

        Raises:
            DatasetError: a volume is missing or cannot be read.
        """
        key = case_key(case, frame, with_mask=with_mask)
        with self._lock:
            stored = self._kept.get(key)
        if stored is None and self._cache is not None:
            stored = self._cache.find(key)
        if stored is None:
            stored = store_case(prepare_case(case, frame, with_mask=with_mask))
            # Files that changed meanwhile may have given some of each.
            is_same = case_key(case, frame, with_mask=with_mask) == key
            if self._cache is not None and is_same:
                stored = self._cache.keep(key, stored)
            for array in (stored.images, stored.mask):
                if array is not None:
                    array.flags.writeable = False
            if not is_same:
                return stored
        with self._lock:
            return self._keep(key, stored)

    def _keep(self, key: str, stored: StoredCase) -> StoredCase:
        """Return the case as the last used; of two that were prepared at once, the first."""
        kept = self._kept.pop(key, None)
        if kept is None:
            kept = stored
            self._size_bytes += _held_bytes(kept)
        self._kept[key] = kept
        while self._size_bytes > self._limit_bytes or len(self._kept) > _MOST_KEPT:
            _, forgotten = self._kept.popitem(last=False)
            self._size_bytes -= _held_bytes(forgotten)
        return kept


def _held_bytes(case: StoredCase) -> int:
    return 0 if case.is_mapped else case.size_bytes


# Of the process: a plan lives for one job, the trainer for the jobs of all rounds.
MEMORY: Final = CaseMemory()


class CaseArrays:
    """Cases as one plan wants them."""

    def __init__(
        self, frame: Frame, *, with_masks: bool = False, memory: CaseMemory = MEMORY
    ) -> None:
        self._frame = frame
        self._with_masks = with_masks
        self._memory = memory

    def stored(self, case: Case) -> StoredCase:
        """Return a case as it is stored, to draw patches from; read-only.

        Raises:
            DatasetError: a volume is missing or cannot be read.
        """
        return self._memory.read(case, self._frame, with_mask=self._with_masks)

    def read(self, case: Case) -> PreparedCase:
        """Return the whole arrays of a case, the caller's own.

        Raises:
            DatasetError: a volume is missing or cannot be read.
        """
        return self.stored(case).prepared()

    def stored_all(self, cases: Sequence[Case], *, num_readers: int = 1) -> list[StoredCase]:
        """Return `cases` as they are stored, in their order, read by so many threads.

        Raises:
            DatasetError: a volume is missing or cannot be read; that of the first such case.
        """
        if min(num_readers, len(cases)) <= 1:
            return [self.stored(case) for case in cases]
        with ThreadPoolExecutor(num_readers) as pool:
            return list(pool.map(self.stored, cases))

    def read_all(self, cases: Sequence[Case], *, num_readers: int = 1) -> list[PreparedCase]:
        """Return the arrays of `cases`, in their order, read by so many threads.

        Raises:
            DatasetError: as for `stored_all`.
        """
        return [one.prepared() for one in self.stored_all(cases, num_readers=num_readers)]

    def images(self, cases: Sequence[Case], *, num_readers: int = 1) -> Images:
        """Return PET and CT of `cases`, whatever they have of it; the frame has a shape.

        Raises:
            DatasetError: as for `stored_all`.
            ValueError: the frame has no shape.
        """
        if self._frame.shape is None:
            raise ValueError("cases of different shapes cannot be stacked")
        presence = find_presence(cases, CHANNELS)
        arrays = np.zeros((*presence.shape, *self._frame.shape), dtype=np.float32)
        places = np.flatnonzero(presence.any(axis=1))
        read = self.stored_all([cases[place] for place in places.tolist()], num_readers=num_readers)
        for place, one in zip(places, read, strict=True):
            from_stored(one.images, out=arrays[place])
        return Images(arrays=arrays, presence=presence)


def readers_of(task: Task) -> int:
    """Return how many threads read cases for a task; the number changes when, never what."""
    return min(task.num_threads, MOST_READERS)


def cases_with(cases: Sequence[Case], needed: Modalities) -> tuple[Case, ...]:
    """Return those of `cases` that have what is needed."""
    return tuple(case for case in cases if has_modalities(case.volumes, needed))
