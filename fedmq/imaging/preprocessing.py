"""Preprocessing: a case's volumes become arrays on one grid, PET, CT and mask voxel by voxel.

The grid is the PET's own, or follows from it: CT and mask are brought to it, never the PET to
another. Where a case has no PET the grid is the CT's; whichever of the two is missing is zeros, and
said to be. All of it depends on the files and the arguments alone.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.extents import body_centre, hottest_voxel, trunk_centre
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
from fedmq.imaging.volumes import StoredVolume, Volume

CHANNELS: Final = ("PET", "CT")
"""Of the arrays of a case, in their order."""
AIR_HU: Final = -1024.0
SUV_MAX: Final = 20.0
"""Uptake that becomes 1; what is higher is cut."""
Centre = Literal["body", "hottest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Which grid a case is given on: the whole PET as it is, unless a field says otherwise.

    Of a case without PET it is the CT that all of this is about.
    """

    spacing_mm: Spacing | None = None
    """Nothing: the PET's own, which differs from scanner to scanner."""
    shape: Shape | None = None
    """Voxels by axis: cut, or padded with air; nothing: all of the PET."""
    centre: Centre = "body"
    """What comes to the middle of `shape`: the body's, or the voxel of highest uptake. A CT shows
    no uptake: of a case without PET it is the body's."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedCase:
    """The arrays of one case, all on the grid of `affine`."""

    images: Floats
    """PET and CT, shape (2, X, Y, Z), RAS+, scaled to 0 to 1, float32; zeros where one of them is
    missing."""
    mask: NDArray[np.bool_] | None
    """Shape (X, Y, Z); nothing where it was not asked for."""
    affine: NDArray[np.float64]
    """Shape (4, 4): voxel indices to millimetres, RAS+."""
    presence: tuple[bool, ...] = (True,) * len(CHANNELS)
    """Whether the case has PET and CT: a CT that is missing looks as one of air alone."""

    @property
    def size_bytes(self) -> int:
        """What the arrays take in memory."""
        return self.images.nbytes + (0 if self.mask is None else self.mask.nbytes)


def prepare_case(case: Case, frame: Frame, *, with_mask: bool = False) -> PreparedCase:
    """Return what `case` has of PET, CT and, if asked for, mask on the grid that `frame` says.

    Raises:
        DatasetError: it has neither PET nor CT, or no mask (code missing_modality), or one of them
            cannot be read.
    """
    if not set(CHANNELS) & case.volumes.keys():
        raise DatasetError(
            f"case {case.case_id} has neither PET nor CT",
            code="missing_modality",
            case=case.case_id,
            why="one of them says where the voxels are",
            fix="add a file, or use a plan that learns without images",
        )
    volumes = {name: case.stored_volume(name) for name in CHANNELS if name in case.volumes}
    first = next(iter(volumes))
    grid = frame_grid(volumes[first], frame, modality=first)
    images = np.zeros((len(CHANNELS), *grid.shape), dtype=np.float32)
    if "PET" in volumes:
        scale_pet(resample(volumes["PET"], grid), out=images[0])
    if "CT" in volumes:
        window_ct(resample(volumes["CT"], grid, outside=AIR_HU), out=images[1])
    return PreparedCase(
        images=images,
        mask=resample_mask(case.volume("MASK"), grid) if with_mask else None,
        affine=grid.affine,
        presence=tuple(name in volumes for name in CHANNELS),
    )


def frame_grid(volume: Volume | StoredVolume, frame: Frame, *, modality: str = "PET") -> Grid:
    """Return the grid on which a case is given that has this PET, or this CT and no PET."""
    own = grid_of(volume)
    grid = own if frame.spacing_mm is None else spaced_grid(own, frame.spacing_mm)
    if frame.shape is None:
        return grid
    if modality == "CT":
        centre = trunk_centre(volume)
    else:
        suv = np.asarray(volume.array, dtype=np.float32)
        centre = (body_centre if frame.centre == "body" else hottest_voxel)(suv)
    place = np.linalg.inv(grid.affine) @ own.affine @ [*centre, 1.0]
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


def resample_mask(mask: Volume, grid: Grid) -> NDArray[np.bool_]:
    """Return which voxels of `grid` the mask covers by half or more, shape (X, Y, Z)."""
    marked = Volume(array=np.asarray(mask.array > 0, np.float32), affine=mask.affine)
    # Half covered is marked: the nearest voxel alone misses volumes by up to a fifth.
    return np.asarray(resample(marked, grid) >= 0.5)  # noqa: PLR2004
