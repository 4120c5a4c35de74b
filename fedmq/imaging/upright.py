"""Upright: whether the head of a whole body is where the affine says that it is.

Two signs, one from each image: lungs lie in the upper half of a scan from head or neck to thighs,
and what is at its upper end (brain, throat) takes up more than thighs. Each alone may be misled, by
a scan of the legs or a tumour of the thigh; both together hardly. Left and right show neither.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.imaging.extents import mark_body
from fedmq.imaging.volumes import Volume

MIN_HEIGHT_MM: Final = 600.0
"""Of a scan in which it can be told."""
_COARSE_MM: Final = 8.0
_BODY_HU: Final = -500.0
_LUNG_HU: Final = (-950.0, -550.0)
_MIN_LUNG_ML: Final = 500.0
_LOW_LUNGS: Final = 0.4
"""Of the body's height in the scan: lungs whose middle is lower are not where lungs are."""
_HIGH_LUNGS: Final = 0.55
_END_MM: Final = 150.0
"""What counts as an end of the scan."""
_CLEAR_RATIO: Final = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why a case may be upside down."""

    code: str
    text: str
    is_sure: bool


def judge_upright(pet: Volume | None, ct: Volume | None) -> Doubt | None:
    """Return why a case seems to be upside down; nothing where it does not, or cannot be told."""
    by_ct, by_pet = _lungs_are_up(ct), _head_is_up(pet)
    if by_ct is False and by_pet is False:
        text = (
            "the lungs lie in the lower half, and the lower end takes up more than the upper one: "
            "head and feet are exchanged (almost certain: CT and PET say so)"
        )
        return Doubt(code="upside_down", text=text, is_sure=True)
    if None not in (by_ct, by_pet) and by_ct is not by_pet:
        one = "PET" if by_pet is False else "CT"
        text = f"the {one} seems to be upside down, the other image does not (likely: look at it)"
        return Doubt(code="upside_down", text=text, is_sure=False)
    if by_ct is False:
        text = "the lungs lie in the lower half: are head and feet exchanged? (likely: by the CT)"
        return Doubt(code="upside_down", text=text, is_sure=False)
    if by_pet is False:
        text = (
            "the lower end takes up more than the upper one: are head and feet exchanged? "
            "(perhaps: by the PET alone; a scan of the legs looks so too)"
        )
        return Doubt(code="upside_down", text=text, is_sure=False)
    return None


def _lungs_are_up(ct: Volume | None) -> bool | None:
    """Return whether the lungs lie in the upper part; None where there are none, or in between."""
    if ct is None or not _is_tall(ct):
        return None
    coarse, voxel_ml = _coarse(ct)
    body = _largest_part(coarse > _BODY_HU)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in np.moveaxis(body, 2, 0)], 2)
    low, high = _LUNG_HU
    lungs = filled & (coarse > low) & (coarse < high)
    areas = lungs.sum(axis=(0, 1))
    if areas.sum() * voxel_ml < _MIN_LUNG_ML:
        return None
    first, last = np.flatnonzero(filled.any(axis=(0, 1)))[[0, -1]]
    middle = float((areas * np.arange(len(areas))).sum() / areas.sum())
    place = (middle - first) / max(1, last - first)
    if _LOW_LUNGS < place < _HIGH_LUNGS:
        return None
    return bool(place >= _HIGH_LUNGS)


def _head_is_up(pet: Volume | None) -> bool | None:
    """Return whether the upper end takes up more than the lower; None where that is not clear."""
    if pet is None or not _is_tall(pet):
        return None
    coarse, _ = _coarse(pet)
    smooth, body = mark_body(coarse)
    planes = np.flatnonzero(body.any(axis=(0, 1)))
    if not len(planes):
        return None
    num_planes = max(1, round(_END_MM / (pet.spacing_mm[2] * _steps(pet)[2])))
    first, last = int(planes[0]), int(planes[-1])
    lower = _mean_in(smooth, body, slice(first, first + num_planes))
    upper = _mean_in(smooth, body, slice(max(0, last + 1 - num_planes), last + 1))
    is_clear = max(upper, lower) >= _CLEAR_RATIO * min(upper, lower)
    return upper > lower if is_clear else None


def _is_tall(volume: Volume) -> bool:
    return bool(volume.array.shape[2] * volume.spacing_mm[2] >= MIN_HEIGHT_MM)


def _steps(volume: Volume) -> tuple[int, int, int]:
    x, y, z = (max(1, round(_COARSE_MM / one)) for one in volume.spacing_mm)
    return x, y, z


def _coarse(volume: Volume) -> tuple[NDArray[np.float32], float]:
    """Return every so manyth voxel, and how many ml each of them stands for."""
    x, y, z = _steps(volume)
    return volume.array[::x, ::y, ::z], volume.voxel_ml * x * y * z


def _largest_part(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected part: the body, and not the table below it."""
    labels, count = ndimage.label(marked)
    if count <= 1:
        return marked
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _mean_in(values: NDArray[np.float32], marked: NDArray[np.bool_], planes: slice) -> float:
    """Return the mean of what is marked in some axial planes; 0 of nothing."""
    inside = values[:, :, planes][marked[:, :, planes]]
    return float(inside.mean()) if len(inside) else 0.0
