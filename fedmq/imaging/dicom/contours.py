"""Contours to voxels: which voxel centres lie inside drawn outlines. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError

_OFF_SLICE: Final = 0.3
"""In slices: a contour belongs to the slice on which it was drawn, and lies in its plane."""
MIN_POINTS: Final = 3
MAX_CROSSINGS: Final = 2**20
"""Of an outline with rows of voxels; what a person draws has thousands, and each takes 80 bytes."""


Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """One region of interest, as outlines."""

    contours: tuple[Floats, ...]
    """Shape (points, 3) each: closed, flat, in mm, LPS, of `MIN_POINTS` or more."""
    is_xor: bool = False
    """Inside is what an odd number of outlines surrounds, however they lie."""
    num_open: int = 0
    """Others of it, which enclose nothing: open ones, points."""


def fill_region(region: Region, affine: Floats, shape: tuple[int, int, int]) -> Marks:
    """Return which voxels lie inside a region; a voxel does if its centre does.

    An outline within another is a hole, and one within a hole an island. Outlines that overlap are
    united, and one that is there twice counts once. In one that is cut open to its hole (the
    keyhole of PS3.3 C.8.8.6.3), or crosses itself, inside is what it surrounds an odd number of
    times.

    Args:
        region: what to fill.
        affine: shape (4, 4), voxel indices (column, row, slice) to mm, LPS.
        shape: columns, rows, slices.

    Raises:
        DatasetError: code contour_off_grid: it lies between slices or outside of the volume;
            bad_mask: an outline crosses more than `MAX_CROSSINGS` rows.
    """
    inverse = np.linalg.inv(affine)
    by_slice: dict[int, list[Floats]] = defaultdict(list)
    for contour in region.contours:
        places = contour @ inverse[:3, :3].T + inverse[:3, 3]
        number = round(float(places[:, 2].mean()))
        _require_within(places, number, shape)
        by_slice[number].append(places[:, :2])
    mask = np.zeros(shape, np.bool_)
    combine = _exclude if region.is_xor else _unite
    for number, outlines in by_slice.items():
        mask[:, :, number] = combine(outlines, (shape[1], shape[0])).T
    return mask


def _exclude(outlines: Sequence[Floats], shape: tuple[int, int]) -> Marks:
    marked = np.zeros(shape, np.bool_)
    for outline in outlines:
        place, inside = _inside(outline, shape)
        marked[place] ^= inside
    return marked


def _unite(outlines: Sequence[Floats], shape: tuple[int, int]) -> Marks:
    marked, depths = np.zeros(shape, np.bool_), np.zeros(shape, np.uint16)
    seen = set()
    # What surrounds another comes before it.
    for outline in sorted(outlines, key=_extent, reverse=True):
        place, inside = _inside(outline, shape)
        voxels = (str(place), hashlib.sha256(inside.tobytes()).digest())
        if inside.size and voxels not in seen:
            seen.add(voxels)
            is_hole = depths[place][inside].min() % 2 == 1
            marked[place][inside] = not is_hole
            depths[place] += inside
    return marked


def _extent(outline: Floats) -> tuple[float, float]:
    """Return the areas of the box around an outline and, without what it holds twice, in it."""
    x, y = outline.T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    return float(np.prod(np.ptp(outline, axis=0))), area


def _inside(outline: Floats, shape: tuple[int, int]) -> tuple[tuple[slice, slice], Marks]:
    """Return the rows and columns with voxels inside, and which of these are."""
    low = np.clip(np.floor(outline.min(axis=0)), 0, shape[::-1]).astype(np.int64)
    high = np.clip(np.ceil(outline.max(axis=0)), low, shape[::-1]).astype(np.int64)
    counts = np.zeros((high[1] - low[1], high[0] - low[0] + 1), np.uint8)
    _count_crossings(counts, outline - low)
    inside = np.bitwise_xor.accumulate(counts & 1, axis=1)[:, :-1] == 1
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.s_[:0, :0], inside[:0, :0]
    inside = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = int(low[1] + rows[0]), int(low[0] + columns[0])
    return np.s_[top : top + len(inside), left : left + inside.shape[1]], inside


def _require_within(places: Floats, number: int, shape: tuple[int, int, int]) -> None:
    if np.abs(places[:, 2] - number).max() > _OFF_SLICE:
        raise _fault("an outline lies between its slices, or across them")
    if not 0 <= number < shape[2]:
        raise _fault("an outline lies above or below its volume")
    low, high = places[:, :2].min(axis=0), places[:, :2].max(axis=0)
    if (low < -1.0).any() or (high > np.array(shape[:2])).any():
        raise _fault("an outline lies beside its volume")


def _count_crossings(counts: NDArray[np.uint8], outline: Floats) -> None:
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
