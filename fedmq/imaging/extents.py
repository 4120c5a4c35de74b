"""Extents: where in a volume the body is, so that a box can be laid around its middle."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.imaging.resampling import Floats, Shape, grid_of, resample, spaced_grid
from fedmq.imaging.volumes import StoredVolume, Volume

BODY_SUV: Final = 0.3
"""Averaged over a few voxels, tissue takes up more than this, and the air around it less."""
BODY_HU: Final = -300.0
"""Fat is -100, lung -700, the foam of a table and blankets less."""
_SMOOTHING: Final = 3
"""Side in voxels of the cube over which uptake is averaged, against noise."""
_BODY_SHARE: Final = 0.25
"""Of the uptake that a twentieth of all voxels reach: more is body, whatever the scale."""
_STRAY: Final = 0.01
"""Share of the body's voxels left out at either end of an axis: noise, a drip beside the arm."""
_COARSE_MM: Final = 8.0
"""Of the voxels by which a body is told from its table: of three in a row a table's shell has
none."""


def mark_body(suv: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return uptake averaged around each voxel, and which voxels are body, in whatever unit."""
    mean = np.asarray(ndimage.uniform_filter(suv, size=_SMOOTHING, mode="nearest"))
    return mean, np.asarray(mean > _BODY_SHARE * np.percentile(mean, 95))


def body_centre(suv: Floats) -> Shape:
    """Return the middle voxel of the body's extent along each axis; the PET's where none shows.

    By the PET, since the table is on the CT; not weighted by uptake, or a bladder would draw it.
    """
    body = _smoothed(suv) > BODY_SUV
    return _middle_of(body) if body.any() else _middle(suv)


def trunk_centre(ct: Volume | StoredVolume) -> Shape:
    """Return the voxel of a CT in the middle of the body's extent along each axis.

    What is thin goes first, and of what is left all but the largest piece: the table, blankets, an
    arm. It is found on coarse voxels, to within one and a half of them.
    """
    coarse = spaced_grid(grid_of(ct), _COARSE_MM)
    tissue = resample(ct, coarse, outside=-np.inf) > BODY_HU
    pieces, count = ndimage.label(ndimage.binary_opening(tissue, np.ones((3, 3, 3))))
    if not count:
        return _middle(ct.array)
    largest = 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    place = np.linalg.inv(ct.affine) @ coarse.affine @ [*_middle_of(pieces == largest), 1.0]
    x, y, z = (
        min(max(int(index), 0), side - 1)
        for index, side in zip(np.rint(place[:3]), ct.array.shape, strict=True)
    )
    return x, y, z


def hottest_voxel(suv: Floats) -> Shape:
    """Return the voxel around which uptake is highest; the middle where there is none at all.

    In a whole body that is often brain or bladder.
    """
    mean = _smoothed(suv)
    if mean.max() <= 0.0:
        return _middle(suv)
    x, y, z = np.unravel_index(int(mean.argmax()), mean.shape)
    return int(x), int(y), int(z)


def _smoothed(suv: Floats) -> Floats:
    return np.asarray(ndimage.uniform_filter(suv, size=_SMOOTHING, mode="constant"))


def _middle_of(body: NDArray[np.bool_]) -> Shape:
    x, y, z = (_middle_of_extent(body.sum(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    return x, y, z


def _middle_of_extent(counts: NDArray[np.int_]) -> int:
    shares = np.cumsum(counts) / counts.sum()
    first, last = np.searchsorted(shares, [_STRAY, 1.0 - _STRAY])
    # The upper of two: a box has one voxel less above its `shape // 2` than below.
    return int(first + last + 1) // 2


def _middle(array: NDArray[np.generic]) -> Shape:
    x, y, z = array.shape
    return x // 2, y // 2, z // 2
