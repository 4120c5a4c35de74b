"""Interpolation along straight axes: where two grids differ by steps and offsets alone.

Then the eight neighbours of a place are two along each axis, and one axis is done after the other,
plane by plane, so that what is worked on stays in the processor's own memory. Values are those of
the general way but for the rounding of float32.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Shape = tuple[int, int, int]

_STRAIGHT: Final = 1e-4
"""Of a voxel: what is shifted by less from one end of an axis to the other is straight; the
affines of files, in float32, are not known to more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Axis:
    """Between which two voxels of one axis each new one lies."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    weight: Floats
    """Of the higher, 0 to 1."""


def are_straight(to_source: NDArray[np.float64], shape: Shape) -> bool:
    """Return whether each new axis runs along the old one of its number, in either direction."""
    aside = np.abs(to_source[:3, :3]) * np.array(shape)
    np.fill_diagonal(aside, 0.0)
    return bool(aside.max() < _STRAIGHT and np.abs(np.diag(to_source)[:3]).min() > 0.0)


def interpolate(array: Floats, to_source: NDArray[np.float64], shape: Shape) -> Floats:
    """Return linear interpolation of `array` at `shape` voxels; beyond its centres, its rim.

    `to_source`, shape (4, 4), takes new voxel indices to those of `array`, along straight axes.
    """
    axes = []
    for axis, length in enumerate(array.shape):
        places = np.arange(shape[axis]) * to_source[axis, axis] + to_source[axis, 3]
        found = _neighbours(places, length)
        if array.strides[axis] < 0:  # taking from a reversed view would copy all of it first
            array = np.flip(array, axis)
            found = _Axis(
                low=length - 1 - found.low, high=length - 1 - found.high, weight=found.weight
            )
        axes.append(found)
    # Planes that lie together in memory, and in them rows that do.
    order = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    return _by_planes(array.transpose(order), *(axes[axis] for axis in order)).transpose(
        np.argsort(order)
    )


def _neighbours(places: NDArray[np.float64], length: int) -> _Axis:
    places = np.clip(places, 0.0, length - 1.0)
    low = np.minimum(places.astype(np.intp), max(length - 2, 0))
    return _Axis(
        low=low,
        high=np.minimum(low + 1, length - 1),
        weight=np.asarray(places - low, dtype=np.float32),
    )


def _by_planes(source: Floats, planes: _Axis, rows: _Axis, columns: _Axis) -> Floats:
    @lru_cache(maxsize=2)
    def plane(number: int) -> Floats:
        # Rows first: they lie together, and there are fewer of them to take columns from.
        return _between(_between(source[number], rows, 0), columns, 1)

    result = np.empty((len(planes.low), len(rows.low), len(columns.low)), dtype=np.float32)
    for number, (low, high) in enumerate(zip(planes.low, planes.high, strict=True)):
        out = result[number]
        np.subtract(plane(int(high)), plane(int(low)), out=out)
        out *= planes.weight[number]
        out += plane(int(low))
    return result


def _between(plane: Floats, axis: _Axis, along: int) -> Floats:
    low, high = (np.take(plane, of, axis=along) for of in (axis.low, axis.high))
    high -= low
    high *= axis.weight[:, np.newaxis] if along == 0 else axis.weight
    low += high
    return np.asarray(low)
