"""Checks against what a body looks like: tissue where tissue is, slices that show something.

Each returns codes and texts; nothing where all is well.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.imaging.extents import BODY_SUV
from fedmq.imaging.preprocessing import resample_mask
from fedmq.imaging.resampling import grid_of
from fedmq.imaging.volumes import Volume

MIN_TISSUE: Final = 0.02
"""Share of a CT's voxels that are soft tissue: of a child in a wide field it is 0.04."""
MIN_IN_BODY: Final = 0.5
"""Share of a mask that takes up tracer."""
MAX_LOST: Final = 0.1
"""Share of a mask that may be missing on the PET's grid, or a voxel of that."""
_TISSUE_HU: Final = (-150.0, 150.0)
_CUBE: Final = 3
"""Side in voxels of the cube over which uptake is averaged, against noise."""


def check_tissue(ct: Volume) -> list[tuple[str, str]]:
    """Return what is wrong with a CT whose values leave no soft tissue."""
    low, high = _TISSUE_HU
    # A quarter of the slices tells, and takes a quarter of the memory.
    some = ct.array[:, :, :: max(1, ct.array.shape[2] // 64)]
    share = float(((some > low) & (some < high)).mean())
    if share >= MIN_TISSUE:
        return []
    text = (
        f"{share:.1%} of the CT is soft tissue ({low:.0f} to {high:.0f} HU), less than "
        f"{MIN_TISSUE:.0%}: was the rescale offset taken off twice, which makes tissue -1024?"
    )
    return [("ct_without_tissue", text)]


def check_gaps(modality: str, volume: Volume) -> list[tuple[str, str]]:
    """Return what is wrong with a volume that has axial slices of one value within it."""
    planes = volume.array
    is_blank = planes.min(axis=(0, 1)) == planes.max(axis=(0, 1))
    shown = np.flatnonzero(~is_blank)
    if not len(shown):
        return []
    inner = np.flatnonzero(is_blank[: shown[-1]])
    inner = inner[inner > shown[0]]
    if not len(inner):
        return []
    text = (
        f"{len(inner)} axial slices within the {modality} hold one value only, the lowest of them "
        f"{inner[0] + 1} of {len(is_blank)} from the feet: slices of the series are missing"
    )
    return [("gap", text)]


def check_marked(mask: Volume, pet: Volume) -> list[tuple[str, str]]:
    """Return what is wrong with a mask that marks air around the body, or places beside the PET."""
    num_marked = int(np.count_nonzero(mask.array))
    if not num_marked:
        return []
    inside = resample_mask(mask, grid_of(pet))
    kept_ml = int(np.count_nonzero(inside)) * pet.voxel_ml
    share = kept_ml / (num_marked * mask.voxel_ml)
    # Lesions smaller than a voxel of the PET are on its grid, or not, by chance.
    if share < MIN_IN_BODY and mask.voxel_ml * num_marked > 2 * pet.voxel_ml:
        return [("mask_outside_body", f"{share:.0%} of the mask lies where the PET is")]
    lost = tell_lost(mask, kept_ml, pet)
    found = [("mask_shrinks", lost)] if lost else []
    if not kept_ml:
        return found
    share = float((_smoothed_near(pet, inside) >= BODY_SUV).mean())
    if share < MIN_IN_BODY:
        text = (
            f"{share:.0%} of the mask takes up tracer (SUV {BODY_SUV:g} or more): does it mark air "
            "beside the body?"
        )
        found.append(("mask_outside_body", text))
    return found


def tell_lost(mask: Volume, kept_ml: float, pet: Volume) -> str:
    """Return in words that a mask marks less of its PET than it holds; "" if it does not.

    `kept_ml` is what it marks on the PET's grid.
    """
    mask_ml = int(np.count_nonzero(mask.array)) * mask.voxel_ml
    if not mask_ml or (kept_ml and mask_ml - kept_ml <= max(MAX_LOST * mask_ml, pet.voxel_ml)):
        return ""
    return (
        f"the mask holds {mask_ml:.3g} ml, and marks {kept_ml:.3g} ml of the PET: some of it lies "
        "beside the PET, or in lesions smaller than its voxels"
    )


def _smoothed_near(pet: Volume, inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean uptake around each marked voxel, shape (n,)."""
    (box,) = ndimage.find_objects(inside.astype(np.int8))
    wider = tuple(slice(max(0, one.start - 1), one.stop + 1) for one in box)
    means = ndimage.uniform_filter(pet.array[wider], size=_CUBE, mode="nearest")
    return np.asarray(means[inside[wider]])
