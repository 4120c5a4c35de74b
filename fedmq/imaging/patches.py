"""Patches: boxes of one shape, drawn from a prepared case or laid over all of it.

Half lesion, half anywhere in the body is how nnU-Net and MONAI's RandCropByPosNegLabel draw: by
chance alone, a patch of a whole body hardly ever holds a lesion.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.extents import BODY_SUV
from fedmq.imaging.preprocessing import SUV_MAX, PreparedCase
from fedmq.imaging.resampling import Floats, Shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patch:
    """A box of a prepared case; beyond the case's rim it holds air and no mask."""

    corner: Shape
    """The case's voxel at the patch's first; negative where the case is smaller than the patch."""
    images: Floats
    """Shape (2, X, Y, Z)."""
    mask: NDArray[np.bool_]
    """Shape (X, Y, Z)."""


def draw_patches(
    case: PreparedCase, shape: Shape, *, count: int, lesion_share: float, rng: np.random.Generator
) -> tuple[Patch, ...]:
    """Return `count` patches, each around a voxel of mask or body, moved to lie inside the case.

    A patch is drawn around the mask with the chance `lesion_share`, if the mask marks anything.
    The same generator gives the same patches.
    """
    mask = np.zeros(case.images.shape[1:], np.bool_) if case.mask is None else case.mask
    lesion = np.flatnonzero(mask)
    # Without a PET, of the CT what is not air.
    has_pet, _ = case.presence
    seen = case.images[0] > BODY_SUV / SUV_MAX if has_pet else case.images[1] > 0.0
    body = np.flatnonzero(seen)
    patches = []
    for _ in range(count):
        is_lesion = rng.random() < lesion_share and len(lesion)
        among = lesion if is_lesion else body
        # Where nothing has uptake, any voxel is as good as another.
        number = rng.integers(len(among) or mask.size)
        centre = np.unravel_index(among[number] if len(among) else number, mask.shape)
        patches.append(cut_patch(case.images, mask, _corner(centre, shape, mask.shape), shape))
    return tuple(patches)


def cut_patch(images: Floats, mask: NDArray[np.bool_], corner: Shape, shape: Shape) -> Patch:
    """Return the box of `shape` that begins at `corner`."""
    first = np.maximum(corner, 0)
    last = np.minimum(np.add(corner, shape), mask.shape)
    source = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    target = tuple(slice(a - c, b - c) for a, b, c in zip(first, last, corner, strict=True))
    patch = Patch(
        corner=corner,
        images=np.zeros((len(images), *shape), np.float32),
        mask=np.zeros(shape, np.bool_),
    )
    patch.images[:, *target] = images[:, *source]
    patch.mask[target] = mask[source]
    return patch


def _corner(centre: tuple[np.intp, ...], shape: Shape, sides: tuple[int, ...]) -> Shape:
    """Return the corner of a patch around `centre`, moved inside; a smaller case lies amid it."""
    x, y, z = (
        min(max(int(middle) - side // 2, 0), length - side)
        if length >= side
        else -((side - length) // 2)
        for middle, side, length in zip(centre, shape, sides, strict=True)
    )
    return x, y, z
