"""Preprocessing: a case's volumes become arrays of one shape, spacing and scale.

Everything happens in memory and depends on the files and the arguments alone. Voxel centres carry
the values, so a volume reaches half a voxel beyond its outermost centres; further out is `outside`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.imaging.cases import Case
from fedmq.imaging.volumes import Volume

AIR_HU: Final = -1024.0
LINEAR: Final = 1
NEAREST: Final = 0
_EDGE: Final = 0.5 + 1e-6
"""Half a voxel, and the rounding of an affine's inverse."""
_SMOOTHING: Final = 3
"""Side in voxels of the cube over which uptake is averaged to find the hottest region."""

Shape = tuple[int, int, int]
Floats = NDArray[np.float32]


def resample(volume: Volume, like: Volume, *, order: int = LINEAR, outside: float = 0.0) -> Floats:
    """Return `volume` on the grid of `like`: linear for images, `order=NEAREST` for masks."""
    return _resample(volume, like.affine, _shape3(like.array), order=order, outside=outside)


def resample_to_spacing(
    volume: Volume, spacing_mm: float, *, order: int = LINEAR, outside: float = 0.0
) -> Volume:
    """Return `volume` with cubic voxels: same axes and middle, its extent rounded to voxels."""
    old_shape, old_spacing = np.array(volume.array.shape), np.array(volume.spacing_mm)
    shape = np.maximum(1, np.rint(old_shape * old_spacing / spacing_mm)).astype(int)
    affine = volume.affine.copy()
    affine[:3, :3] *= spacing_mm / old_spacing
    middle = volume.affine[:3, :3] @ ((old_shape - 1) / 2) + volume.affine[:3, 3]
    affine[:3, 3] = middle - affine[:3, :3] @ ((shape - 1) / 2)
    sides = (int(shape[0]), int(shape[1]), int(shape[2]))
    array = _resample(volume, affine, sides, order=order, outside=outside)
    return Volume(array=array, affine=affine)


def scale_pet(suv: Floats, suv_max: float = 20.0) -> Floats:
    """Return SUV 0 to `suv_max` as 0 to 1; lower and higher values are cut."""
    return np.asarray(np.clip(suv / suv_max, 0.0, 1.0), dtype=np.float32)


def window_ct(hu: Floats, low: float = -160.0, high: float = 240.0) -> Floats:
    """Return HU `low` to `high` (soft tissue) as 0 to 1; lower and higher values are cut."""
    return np.asarray(np.clip((hu - low) / (high - low), 0.0, 1.0), dtype=np.float32)


def crop_or_pad(array: Floats, shape: Shape, centre: Shape, *, outside: float = 0.0) -> Floats:
    """Return a box with voxel `centre` at its `shape // 2`; beyond the array is `outside`."""
    result = np.full(shape, outside, dtype=np.float32)
    source, target = [], []
    for side, length, middle in zip(shape, array.shape, centre, strict=True):
        first = middle - side // 2
        begin = min(max(first, 0), length)
        end = max(min(first + side, length), begin)
        source.append(slice(begin, end))
        target.append(slice(begin - first, end - first))
    if all(part.stop > part.start for part in source):
        result[tuple(target)] = array[tuple(source)]
    return result


def case_array(case: Case, *, shape: Shape, spacing_mm: float) -> Floats:
    """Return PET and CT of `case`, shape (2, X, Y, Z), RAS+, scaled to 0 to 1, float32.

    The box is centred on the region of highest uptake, or on the PET's middle where there is no
    uptake at all. In a whole-body scan that region may be the brain or the bladder: give volumes
    cropped to the region of interest.

    Raises:
        DatasetError: PET or CT is missing or cannot be read.
    """
    pet = _pet_box(case, shape, spacing_mm)
    ct = resample(case.volume("CT"), pet, outside=AIR_HU)
    return np.stack([scale_pet(pet.array), window_ct(ct)])


def case_mask(case: Case, *, shape: Shape, spacing_mm: float) -> Floats:
    """Return the mask of `case` in 0 and 1, shape (X, Y, Z), in the box of its `case_array`.

    Raises:
        DatasetError: PET or mask is missing or cannot be read.
    """
    box = _pet_box(case, shape, spacing_mm)
    mask = case.volume("MASK")
    covered = resample(
        Volume(array=np.asarray(mask.array > 0, np.float32), affine=mask.affine), box
    )
    # Half covered is marked: the nearest voxel alone misses volumes by up to a fifth.
    return np.asarray(covered >= 0.5, dtype=np.float32)  # noqa: PLR2004


def _pet_box(case: Case, shape: Shape, spacing_mm: float) -> Volume:
    pet = resample_to_spacing(case.volume("PET"), spacing_mm)
    centre = _hottest_voxel(pet.array)
    affine = pet.affine.copy()
    corner = np.array(centre) - np.array(shape) // 2
    affine[:3, 3] += affine[:3, :3] @ corner
    return Volume(array=crop_or_pad(pet.array, shape, centre), affine=affine)


def _hottest_voxel(suv: Floats) -> Shape:
    mean = ndimage.uniform_filter(suv, size=_SMOOTHING, mode="constant")
    if mean.max() <= 0.0:
        x, y, z = suv.shape
        return x // 2, y // 2, z // 2
    place = np.unravel_index(int(mean.argmax()), mean.shape)
    return int(place[0]), int(place[1]), int(place[2])


def _resample(
    volume: Volume, affine: NDArray[np.float64], shape: Shape, *, order: int, outside: float
) -> Floats:
    to_source = np.linalg.inv(volume.affine) @ affine
    result = np.empty(shape, dtype=np.float32)
    ndimage.affine_transform(
        volume.array,
        to_source[:3, :3],
        offset=to_source[:3, 3],
        output=result,
        order=order,
        mode="nearest",
    )
    result[~_is_inside(to_source, volume.array.shape, shape)] = outside
    return result


def _is_inside(
    to_source: NDArray[np.float64], source: tuple[int, ...], shape: Shape
) -> NDArray[np.bool_]:
    """Return which voxels of the new grid lie in the source; scipy's own rule ends at centres."""
    inside = np.ones(shape, dtype=np.bool_)
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for axis, length in enumerate(source):
        a, b, c, offset = to_source[axis]
        place = a * x + b * y + c * z + offset
        inside &= (place >= -_EDGE) & (place <= length - 1 + _EDGE)
    return inside


def _shape3(array: Floats) -> Shape:
    x, y, z = array.shape
    return x, y, z
