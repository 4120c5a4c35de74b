"""Patches: boxes of one shape, drawn from a stored case or laid over all of it.

Half lesion, half anywhere in the body is how nnU-Net and MONAI's RandCropByPosNegLabel draw: by
chance alone, a patch of a whole body hardly ever holds a lesion.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.marked import Marked
from fedmq.imaging.resampling import Floats, Shape
from fedmq.imaging.stored import StoredCase, from_stored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """A box of a case; beyond the case's rim it holds air and no mask."""

    corner: Shape
    """The case's voxel at the patch's first; negative where the case is smaller than the patch."""
    images: Floats
    """Shape (2, X, Y, Z)."""
    mask: NDArray[np.bool_]
    """Shape (X, Y, Z)."""


def draw_patches(
    case: StoredCase, shape: Shape, *, count: int, lesion_share: float, rng: np.random.Generator
) -> tuple[Patch, ...]:
    """Return `count` patches, each around a voxel of mask or body, moved to lie inside the case.

    A patch is drawn around the mask with the chance `lesion_share`, if the mask marks anything.
    The same generator gives the same patches.
    """
    x, y, z = case.images.shape[1:]
    lesion, body = case.lesion, case.body
    patches = []
    for _ in range(count):
        is_lesion = rng.random() < lesion_share and len(lesion) > 0
        centre = _draw_voxel(lesion if is_lesion else body, (x, y, z), rng)
        patches.append(cut_patch(case, _corner(centre, shape, (x, y, z)), shape))
    return tuple(patches)


def cut_patch(case: StoredCase, corner: Shape, shape: Shape) -> Patch:
    """Return the box of `shape` that begins at `corner`."""
    sides = case.images.shape[1:]
    first = np.maximum(corner, 0)
    last = np.maximum(np.minimum(np.add(corner, shape), sides), first)
    source = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    target = tuple(slice(a - c, b - c) for a, b, c in zip(first, last, corner, strict=True))
    make = np.empty if (last - first == shape).all() else np.zeros
    images, mask = make((2, *shape), np.float32), np.zeros(shape, np.bool_)
    from_stored(case.images[:, *source], out=images[:, *target])
    if case.mask is not None:
        mask[target] = case.mask[source]
    return Patch(corner=corner, images=images, mask=mask)


def _draw_voxel(among: Marked, sides: Shape, rng: np.random.Generator) -> Shape:
    """Return one of the voxels; where there is none, any of the case is as good as another."""
    number = int(rng.integers(len(among) or math.prod(sides)))
    if len(among):
        return among.voxel(number)
    x, y, z = np.unravel_index(number, sides)
    return int(x), int(y), int(z)


def _corner(centre: Shape, shape: Shape, sides: Shape) -> Shape:
    """Return the corner of a patch around `centre`, moved inside; a smaller case lies amid it."""
    x, y, z = (
        min(max(middle - side // 2, 0), length - side)
        if length >= side
        else -((side - length) // 2)
        for middle, side, length in zip(centre, shape, sides, strict=True)
    )
    return x, y, z
