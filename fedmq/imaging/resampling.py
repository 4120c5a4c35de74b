"""Resampling: a volume's values at the places of another grid.

Voxel centres carry the values, so a volume reaches half a voxel beyond its outermost centres;
further out is `outside`. Where new voxels are at least twice as wide, the old ones are averaged
first: a point of a coarse grid would meet a small lesion, or miss it, by chance.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.imaging.interpolation import are_straight, interpolate
from fedmq.imaging.volumes import StoredVolume, Volume

_EDGE: Final = 0.5 + 1e-6
"""Half a voxel, and the rounding of an affine's inverse."""
_SAME: Final = 1e-6
"""Of a voxel: places nearer than that are one."""

Shape = tuple[int, int, int]
Spacing = float | tuple[float, float, float]
"""In mm: of cubic voxels, or by axis."""
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where voxels lie, without their values."""

    affine: NDArray[np.float64]
    """Shape (4, 4): voxel indices to millimetres, RAS+."""
    shape: Shape

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel spacing in mm, shape (3,)."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0))


def grid_of(volume: Volume | StoredVolume) -> Grid:
    """Return the grid of a volume's own voxels."""
    x, y, z = volume.array.shape
    return Grid(affine=volume.affine, shape=(x, y, z))


def spaced_grid(grid: Grid, spacing_mm: Spacing) -> Grid:
    """Return a grid of the same axes and middle, with its extent rounded to voxels."""
    old_shape, spacing = np.array(grid.shape), np.broadcast_to(spacing_mm, 3)
    shape = np.maximum(1, np.rint(old_shape * grid.spacing_mm / spacing)).astype(int)
    affine = grid.affine.copy()
    affine[:3, :3] *= spacing / grid.spacing_mm
    middle = grid.affine[:3, :3] @ ((old_shape - 1) / 2) + grid.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid(affine=affine, shape=(int(shape[0]), int(shape[1]), int(shape[2])))


def boxed_grid(grid: Grid, shape: Shape, centre: Shape) -> Grid:
    """Return a box of `grid`'s voxels with voxel `centre` at its `shape // 2`; it may stand out."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ (np.array(centre) - np.array(shape) // 2)
    return Grid(affine=affine, shape=shape)


def resample(volume: Volume | StoredVolume, grid: Grid, *, outside: float = 0.0) -> Floats:
    """Return the values of `volume` at the voxels of `grid`, by linear interpolation.

    They are the volume's own array, read-only, where the grid is a part of its own.
    """
    to_source = np.linalg.inv(volume.affine) @ grid.affine
    if _is_shift(to_source):
        return _moved(volume.array, np.rint(to_source[:3, 3]).astype(int), grid.shape, outside)
    if are_straight(to_source, grid.shape):
        factors = _factors(volume, grid.spacing_mm)
        result = interpolate(volume.array, to_source, grid.shape, factors)
        for axis, length in enumerate(volume.array.shape):
            places = np.arange(grid.shape[axis]) * to_source[axis, axis] + to_source[axis, 3]
            np.moveaxis(result, axis, 0)[~_are_inside(places, length)] = outside
        return result
    source = _averaged(volume, grid.spacing_mm)
    to_averaged = np.linalg.inv(source.affine) @ grid.affine
    result = np.empty(grid.shape, dtype=np.float32)
    ndimage.affine_transform(
        source.array,
        to_averaged[:3, :3],
        offset=to_averaged[:3, 3],
        output=result,
        order=1,
        mode="nearest",
    )
    result[~_is_inside(to_source, volume.array.shape, grid.shape)] = outside
    return result


def _is_shift(to_source: NDArray[np.float64]) -> bool:
    """Return whether every new voxel is an old one, or lies beyond them."""
    rounded = np.rint(to_source)
    rounded[:3, :3] = np.eye(3)
    return bool(np.abs(to_source - rounded).max() < _SAME)


def _moved(array: NDArray[Any], corner: NDArray[np.int_], shape: Shape, outside: float) -> Floats:
    """Return the box of `shape` that begins at `corner`; beyond the array is `outside`.

    One that lies in the array is a view of it, read-only: a PET on its own grid is not copied.
    """
    first = np.maximum(corner, 0)
    last = np.minimum(corner + shape, array.shape)
    if (last - first == shape).all():
        box = array[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
        box = np.asarray(box, dtype=np.float32).view()
        box.flags.writeable = False
        return box
    result = np.full(shape, outside, dtype=np.float32)
    if (first < last).all():
        source = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        target = tuple(slice(a, b) for a, b in zip(first - corner, last - corner, strict=True))
        result[target] = array[source]
    return result


def _factors(volume: Volume | StoredVolume, spacing_mm: NDArray[np.float64]) -> Shape:
    """Return how many voxels in a row fit the new spacing, by axis, at least one."""
    ratios = spacing_mm / grid_of(volume).spacing_mm
    x, y, z = (max(1, int(ratio + _SAME)) for ratio in ratios)
    return x, y, z


def _averaged(volume: Volume | StoredVolume, spacing_mm: NDArray[np.float64]) -> Volume:
    """Return blocks of whole voxels, as many in a row as fit the new spacing, by their means."""
    array, affine = np.asarray(volume.array, dtype=np.float32), volume.affine.copy()
    for axis, factor in enumerate(_factors(volume, spacing_mm)):
        if factor > 1:
            array = _block_means(array, axis, factor)
            affine[:3, 3] += affine[:3, axis] * (factor - 1) / 2
            affine[:3, axis] *= factor
    return Volume(array=array, affine=affine)


def _block_means(array: Floats, axis: int, factor: int) -> Floats:
    """Return the means along one axis; the last block repeats the rim where voxels lack."""
    missing = -array.shape[axis] % factor
    if missing:
        widths = [(0, missing if one == axis else 0) for one in range(array.ndim)]
        array = np.pad(array, widths, mode="edge")
    rows = np.moveaxis(array, axis, 0)
    # A sum of strided slices: a mean over an added axis takes several times as long.
    total = rows[::factor].copy()
    for offset in range(1, factor):
        total += rows[offset::factor]
    total /= factor
    return np.moveaxis(total, 0, axis)


def _is_inside(
    to_source: NDArray[np.float64], source: tuple[int, ...], shape: Shape
) -> NDArray[np.bool_]:
    """Return which voxels of the new grid lie in the source; scipy's own rule ends at centres."""
    inside = np.ones(shape, dtype=np.bool_)
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for axis, length in enumerate(source):
        a, b, c, offset = to_source[axis]
        place = a * x + b * y + c * z + offset
        inside &= _are_inside(place, length)
    return inside


def _are_inside(places: NDArray[np.float64], length: int) -> NDArray[np.bool_]:
    return (places >= -_EDGE) & (places <= length - 1 + _EDGE)
