"""Preprocessing: a case's volumes become arrays on one grid, PET, CT and mask voxel by voxel.

The grid is the PET's own, or follows from it: CT and mask are brought to it, never the PET to
another. All of it depends on the files and the arguments alone.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.imaging.cases import Case
from fedmq.imaging.resampling import (
    Floats,
    Grid,
    Shape,
    Spacing,
    boxed_grid,
    grid_of,
    resample,
    spaced_grid,
)
from fedmq.imaging.volumes import Volume

AIR_HU: Final = -1024.0
SUV_MAX: Final = 20.0
"""Uptake that becomes 1; what is higher is cut."""
BODY_SUV: Final = 0.3
"""Averaged over a few voxels, tissue takes up more than this, and the air around it less."""
_SMOOTHING: Final = 3
"""Side in voxels of the cube over which uptake is averaged, against noise."""
_STRAY: Final = 0.01
"""Share of the body's voxels left out at either end of an axis: noise, a drip beside the arm."""

Centre = Literal["body", "hottest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Which grid a case is given on: the whole PET as it is, unless a field says otherwise."""

    spacing_mm: Spacing | None = None
    """Nothing: the PET's own, which differs from scanner to scanner."""
    shape: Shape | None = None
    """Voxels by axis: cut, or padded with air; nothing: all of the PET."""
    centre: Centre = "body"
    """What comes to the middle of `shape`: the body's, or the voxel of highest uptake."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedCase:
    """The arrays of one case, all on the grid of `affine`."""

    images: Floats
    """PET and CT, shape (2, X, Y, Z), RAS+, scaled to 0 to 1, float32."""
    mask: NDArray[np.bool_] | None
    """Shape (X, Y, Z); nothing where it was not asked for."""
    affine: NDArray[np.float64]
    """Shape (4, 4): voxel indices to millimetres, RAS+."""

    @property
    def size_bytes(self) -> int:
        """What the arrays take in memory."""
        return self.images.nbytes + (0 if self.mask is None else self.mask.nbytes)


def prepare_case(case: Case, frame: Frame, *, with_mask: bool = False) -> PreparedCase:
    """Return PET, CT and, if asked for, mask of `case` on the grid that `frame` says.

    Raises:
        DatasetError: one of them is missing or cannot be read.
    """
    pet = case.volume("PET")
    grid = frame_grid(pet, frame)
    images = np.empty((2, *grid.shape), dtype=np.float32)
    scale_pet(resample(pet, grid), out=images[0])
    window_ct(resample(case.stored_volume("CT"), grid, outside=AIR_HU), out=images[1])
    mask = _resample_mask(case.volume("MASK"), grid) if with_mask else None
    return PreparedCase(images=images, mask=mask, affine=grid.affine)


def frame_grid(pet: Volume, frame: Frame) -> Grid:
    """Return the grid on which a case with this PET is given."""
    own = grid_of(pet)
    grid = own if frame.spacing_mm is None else spaced_grid(own, frame.spacing_mm)
    if frame.shape is None:
        return grid
    find = body_centre if frame.centre == "body" else hottest_voxel
    place = np.linalg.inv(grid.affine) @ own.affine @ [*find(pet.array), 1.0]
    x, y, z = (int(index) for index in np.rint(place[:3]))
    return boxed_grid(grid, frame.shape, (x, y, z))


def scale_pet(suv: Floats, suv_max: float = SUV_MAX, *, out: Floats | None = None) -> Floats:
    """Return SUV 0 to `suv_max` as 0 to 1, in `out` if given; lower and higher values are cut."""
    scaled = np.divide(suv, np.float32(suv_max), out=out, dtype=np.float32)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def window_ct(
    hu: Floats, low: float = -160.0, high: float = 240.0, *, out: Floats | None = None
) -> Floats:
    """Return HU `low` to `high` (soft tissue) as 0 to 1, in `out` if given; beyond is cut."""
    scaled = np.subtract(hu, np.float32(low), out=out, dtype=np.float32)
    scaled /= np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


def body_centre(suv: Floats) -> Shape:
    """Return the middle voxel of the body's extent along each axis; the PET's where none shows.

    By the PET, since the table is on the CT; not weighted by uptake, or a bladder would draw it.
    """
    body = _smoothed(suv) > BODY_SUV
    if not body.any():
        return _middle(suv)
    x, y, z = (_middle_of_extent(body.sum(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
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


def _middle_of_extent(counts: NDArray[np.int_]) -> int:
    shares = np.cumsum(counts) / counts.sum()
    first, last = np.searchsorted(shares, [_STRAY, 1.0 - _STRAY])
    # The upper of two: a box has one voxel less above its `shape // 2` than below.
    return int(first + last + 1) // 2


def _middle(suv: Floats) -> Shape:
    x, y, z = suv.shape
    return x // 2, y // 2, z // 2


def _resample_mask(mask: Volume, grid: Grid) -> NDArray[np.bool_]:
    marked = Volume(array=np.asarray(mask.array > 0, np.float32), affine=mask.affine)
    # Half covered is marked: the nearest voxel alone misses volumes by up to a fifth.
    return np.asarray(resample(marked, grid) >= 0.5)  # noqa: PLR2004
