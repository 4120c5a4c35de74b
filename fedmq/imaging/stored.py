"""Stored cases: prepared arrays in half the bytes, exactly as they will be read again.

Intensities of 0 to 1 become whole numbers of 0 to 32768, of which float32 has each times 2**-15: it
is rounded once, when a case is stored, and never again. A step is 0.0006 SUV and 0.012 HU, far
below any scanner's noise, and a sixteenth of what float16 rounds near 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.marked import Counts, Marked, Marks, body_of, count_marks
from fedmq.imaging.preprocessing import PreparedCase
from fedmq.imaging.resampling import Floats

FULL: Final = 2**15
"""What 1 is stored as."""
_ARRAYS: Final = frozenset({"images", "mask", "affine"})
_STEP: Final = np.float32(1.0 / FULL)

Numbers = NDArray[np.uint16]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredCase:
    """The arrays of one case as they lie in a cache; they may be a file's own pages, read-only."""

    images: Numbers
    """PET and CT, shape (2, X, Y, Z), RAS+, 0 to 32768 for 0 to 1."""
    mask: Marks | None
    """Shape (X, Y, Z)."""
    affine: NDArray[np.float64]
    """Shape (4, 4): voxel indices to millimetres, RAS+."""
    coronal: Numbers
    """The largest along the second axis, shape (2, X, Z); see `fedmq.imaging.mip`."""
    sagittal: Numbers
    """The largest along the first axis, shape (2, Y, Z)."""
    body_counts: Counts
    """Voxels of the body in each plane of the first axis, shape (X,)."""
    lesion_counts: Counts
    """Voxels of the mask in each plane of the first axis, shape (X,)."""
    rest: Mapping[str, Any]
    """What else a prepared case says: what JSON has, and tuples."""
    is_mapped: bool = False
    """Whether the arrays are pages of a file, which take no memory of the process's own."""

    @property
    def size_bytes(self) -> int:
        """What the arrays take, in memory or in a file."""
        views = self.coronal.nbytes + self.sagittal.nbytes
        return self.images.nbytes + views + (0 if self.mask is None else self.mask.nbytes)

    @property
    def body(self) -> Marked:
        """The voxels of the body."""
        has_pet = bool(self.rest["presence"][0])
        return Marked(
            counts=self.body_counts,
            plane=lambda x: body_of(from_stored(self.images[:, x]), has_pet=has_pet),
        )

    @property
    def lesion(self) -> Marked:
        """The voxels of the mask."""
        mask = self.mask
        return Marked(
            counts=self.lesion_counts,
            plane=lambda x: np.zeros((0, 0), np.bool_) if mask is None else mask[x],
        )

    def prepared(self) -> PreparedCase:
        """Return the whole case, in arrays of the caller's own."""
        return PreparedCase(
            images=from_stored(self.images),
            mask=None if self.mask is None else np.array(self.mask),
            affine=np.array(self.affine),
            **self.rest,
        )


def store_case(case: PreparedCase) -> StoredCase:
    """Return a case as it is stored."""
    images = to_stored(case.images)
    num_planes = images.shape[1]
    mask = case.mask
    return StoredCase(
        images=images,
        mask=None if mask is None else np.ascontiguousarray(mask),
        affine=case.affine,
        coronal=images.max(axis=2),
        sagittal=images.max(axis=1),
        body_counts=count_marks(
            body_of(from_stored(images[:, x]), has_pet=case.presence[0]) for x in range(num_planes)
        ),
        lesion_counts=(np.zeros(num_planes, dtype=np.int64) if mask is None else count_marks(mask)),
        rest={one.name: getattr(case, one.name) for one in fields(case) if one.name not in _ARRAYS},
    )


def to_stored(images: Floats) -> Numbers:
    """Return the nearest whole numbers for 0 to 1; what lies beyond is cut."""
    stored = np.empty(images.shape, dtype=np.uint16)
    # Plane by plane: what is in between takes no memory to speak of.
    for plane, out in zip(images.reshape(-1, *images.shape[-2:]), _planes(stored), strict=True):
        scaled = plane * np.float32(FULL)
        np.rint(scaled, out=scaled)
        np.clip(scaled, 0.0, FULL, out=scaled)
        out[...] = scaled
    return stored


def from_stored(stored: Numbers, out: Floats | None = None) -> Floats:
    """Return the intensities of stored numbers, exactly; in `out` where there is one."""
    result = np.empty(stored.shape, dtype=np.float32) if out is None else out
    np.multiply(stored, _STEP, out=result, dtype=np.float32)
    return result


def _planes(stored: Numbers) -> Numbers:
    return stored.reshape(-1, *stored.shape[-2:])
