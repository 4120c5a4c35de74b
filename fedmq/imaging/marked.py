"""Marked voxels: those of body or lesion, found by their number without looking at all of a case.

A whole body has ten million voxels: to look through them for each patch takes longer than all else.
How many are marked in each plane says in which one to look.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.extents import BODY_SUV
from fedmq.imaging.preprocessing import SUV_MAX
from fedmq.imaging.resampling import Floats, Shape

Marks = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marked:
    """Some of a case's voxels, in the order of its first, second, third axis."""

    counts: Counts
    """How many there are in each plane of the first axis, shape (X,)."""
    plane: Callable[[int], Marks]
    """Which they are, in one of these planes, shape (Y, Z)."""

    def __len__(self) -> int:
        return int(self.counts.sum())

    def voxel(self, number: int) -> Shape:
        """Return the place of one of them, 0 for the first."""
        ends = np.cumsum(self.counts)
        x = int(np.searchsorted(ends, number, side="right"))
        marks = self.plane(x)
        place = np.flatnonzero(marks)[number - (ends[x] - self.counts[x])]
        y, z = np.unravel_index(place, marks.shape)
        return x, int(y), int(z)


def body_of(images: Floats, *, has_pet: bool = True) -> Marks:
    """Return which voxels of PET and CT, shape (2, ...), are of the body.

    Without a PET, of the CT what is not air.
    """
    return np.asarray(images[0] > np.float32(BODY_SUV / SUV_MAX) if has_pet else images[1] > 0)


def count_marks(planes: Iterable[Marks]) -> Counts:
    """Return how many voxels are marked in each plane."""
    return np.array([np.count_nonzero(plane) for plane in planes], dtype=np.int64)
