"""Interpolation along straight axes: where two grids differ by steps and offsets alone.

Then the eight neighbours of a place are two along each axis, and one axis is done after the other,
plane by plane, so that what is worked on stays in the processor's own memory. Values are those of
the general way but for the rounding of float32.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, int, int]

_STRAIGHT: Final = 1e-4
"""Of a voxel: what is shifted by less from one end of an axis to the other is straight; the
affines of files, in float32, are not known to more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Axis:
    """Between which two blocks of one axis each new voxel lies."""

    members: NDArray[np.intp]
    """The voxels of each block, as they are numbered in memory, shape (factor, blocks)."""
    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: Floats
    """Of the higher, 0 to 1."""


def are_straight(to_source: NDArray[np.float64], shape: Shape) -> bool:
    """Return whether each new axis runs along the old one of its number, in either direction."""
    aside = np.abs(to_source[:3, :3]) * np.array(shape)
    np.fill_diagonal(aside, 0.0)
    return bool(aside.max() < _STRAIGHT and np.abs(np.diag(to_source)[:3]).min() > 0.0)


def interpolate(
    array: NDArray[Any], to_source: NDArray[np.float64], shape: Shape, factors: Shape = (1, 1, 1)
) -> Floats:
    """Return linear interpolation of `array` at `shape` voxels; beyond its centres, its rim.

    `to_source`, shape (4, 4), takes new voxel indices to those of `array`, along straight axes.
    Between blocks of so many voxels by axis, where `factors` says so, each with the mean of its
    own; the last block repeats the rim where voxels lack.
    """
    axes = []
    for axis, factor in enumerate(factors):
        places = np.arange(shape[axis]) * to_source[axis, axis] + to_source[axis, 3]
        is_reversed = array.strides[axis] < 0
        axes.append(_blocks(places, array.shape[axis], factor, is_reversed=is_reversed))
        if is_reversed:  # taking from a reversed view would copy all of it first
            array = np.flip(array, axis)
    # Planes that lie together in memory, and in them rows that do.
    order = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    planes, rows, columns = (axes[axis] for axis in order)
    made = _by_planes(array.transpose(order), planes, rows, columns)
    return made.transpose(np.argsort(order))


def _blocks(places: NDArray[np.float64], length: int, factor: int, *, is_reversed: bool) -> _Axis:
    count = -(-length // factor)
    members = np.arange(count) * factor + np.arange(factor)[:, np.newaxis]
    members = np.minimum(members, length - 1)
    places = np.clip((places - (factor - 1) / 2) / factor, 0.0, count - 1.0)
    low = np.minimum(places.astype(np.intp), max(count - 2, 0))
    return _Axis(
        members=length - 1 - members if is_reversed else members,
        low=low,
        high=np.minimum(low + 1, count - 1),
        weight=np.asarray(places - low, dtype=np.float32),
    )


def _by_planes(source: NDArray[Any], planes: _Axis, rows: _Axis, columns: _Axis) -> Floats:
    @lru_cache(maxsize=2)
    def plane(block: int) -> Floats:
        found = _means(source, planes.members[:, block : block + 1], 0)[0]
        # Rows first: they lie together, and there are fewer of them to take columns from.
        return _between(_between(found, rows, 0), columns, 1)

    result = np.empty((len(planes.low), len(rows.low), len(columns.low)), dtype=np.float32)
    for number, (low, high) in enumerate(zip(planes.low, planes.high, strict=True)):
        out = result[number]
        np.subtract(plane(int(high)), plane(int(low)), out=out)
        out *= planes.weight[number]
        out += plane(int(low))
    return result


def _between(plane: NDArray[Any], axis: _Axis, along: int) -> Floats:
    low, high = (_means(plane, axis.members[:, of], along) for of in (axis.low, axis.high))
    high -= low
    high *= axis.weight[:, np.newaxis] if along == 0 else axis.weight
    low += high
    return low


def _means(array: NDArray[Any], members: NDArray[np.intp], along: int) -> Floats:
    """Return the means of voxels along one axis, of which `members`, shape (f, n), has n sets."""
    total: Floats = np.take(array, members[0], axis=along).astype(np.float32, copy=False)
    for more in members[1:]:
        total += np.take(array, more, axis=along)
    if len(members) > 1:
        total *= np.float32(1.0 / len(members))
    return total
