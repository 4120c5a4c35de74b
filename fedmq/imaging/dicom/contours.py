"""Contours to voxels: which voxel centres lie inside drawn outlines. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError

_OFF_SLICE: Final = 0.3
"""In slices: a contour belongs to the slice on which it was drawn, and lies in its plane."""
_MIN_POINTS: Final = 3
MAX_CROSSINGS: Final = 2**20
"""Of an outline with rows of voxels; what a person draws has thousands, and each takes 80 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """One region of interest, as outlines."""

    contours: tuple[NDArray[np.float64], ...]
    """Shape (points, 3) each: closed, flat, in mm, LPS."""


def fill_region(
    region: Region, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.bool_]:
    """Return which voxels lie inside a region; an outline within another one is a hole.

    Even-odd: inside is what an odd number of outlines surrounds, which also holds for holes that
    are joined to their outline by a cut (PS3.3 C.8.8.6.3). A voxel is inside if its centre is.

    Args:
        region: what to fill.
        affine: shape (4, 4), voxel indices (column, row, slice) to mm, LPS.
        shape: columns, rows, slices.

    Raises:
        DatasetError: code contour_off_grid: it lies between slices or outside of the volume;
            bad_mask: an outline crosses more than `MAX_CROSSINGS` rows.
    """
    crossings: dict[int, NDArray[np.uint8]] = {}
    inverse = np.linalg.inv(affine)
    for contour in region.contours:
        if len(contour) < _MIN_POINTS:
            continue
        places = contour @ inverse[:3, :3].T + inverse[:3, 3]
        number = round(float(places[:, 2].mean()))
        _require_within(places, number, shape)
        counts = crossings.setdefault(number, np.zeros((shape[1], shape[0] + 1), np.uint8))
        _count_crossings(counts, places[:, :2])
    mask = np.zeros(shape, np.bool_)
    for number, counts in crossings.items():
        mask[:, :, number] = np.cumsum(counts, axis=1)[:, :-1].T % 2 == 1
    return mask


def _require_within(places: NDArray[np.float64], number: int, shape: tuple[int, int, int]) -> None:
    if np.abs(places[:, 2] - number).max() > _OFF_SLICE:
        raise _fault("an outline lies between its slices, or across them")
    if not 0 <= number < shape[2]:
        raise _fault("an outline lies above or below its volume")
    low, high = places[:, :2].min(axis=0), places[:, :2].max(axis=0)
    if (low < -1.0).any() or (high > np.array(shape[:2])).any():
        raise _fault("an outline lies beside its volume")


def _count_crossings(counts: NDArray[np.uint8], outline: NDArray[np.float64]) -> None:
    """Add to each row's counts where an outline crosses it, at the next column's centre.

    A row is crossed by an edge that begins on or above it and ends below, or the other way
    round: so a corner on the row counts once, and a level edge not at all. Counts go round from 255
    to 0: whether they are odd stays right.
    """
    begin, end = outline, np.roll(outline, -1, axis=0)
    upper = np.where((begin[:, 1] <= end[:, 1])[:, None], begin, end)
    lower = np.where((begin[:, 1] <= end[:, 1])[:, None], end, begin)
    first = np.clip(np.ceil(upper[:, 1]), 0, counts.shape[0]).astype(np.int64)
    last = np.clip(np.ceil(lower[:, 1]), 0, counts.shape[0]).astype(np.int64)
    numbers = last - first
    if numbers.sum() > MAX_CROSSINGS:
        raise DatasetError(
            "its regions of interest cannot be used",
            code="bad_mask",
            why=f"an outline crosses its rows more than {MAX_CROSSINGS} times",
            fix="export the regions again, each as a plain outline",
        )
    edges = np.repeat(np.arange(len(outline)), numbers)
    before = np.repeat(np.cumsum(numbers) - numbers, numbers)
    rows = np.arange(len(edges)) - before + first[edges]
    along = (rows - upper[edges, 1]) / (lower[edges, 1] - upper[edges, 1])
    at = upper[edges, 0] + along * (lower[edges, 0] - upper[edges, 0])
    columns = np.clip(np.ceil(at), 0, counts.shape[1] - 1).astype(np.int64)
    np.add.at(counts, (rows, columns), 1)


def _fault(why: str) -> DatasetError:
    return DatasetError(
        "its regions of interest do not fit its images",
        code="contour_off_grid",
        why=why,
        fix="export the regions together with the series on which they were drawn",
    )
