"""Pictures of a case: from the front and from the side, PET over CT, the mask's outline on both.

Uptake is the highest on the way through the patient (a maximum intensity projection), dark on
light; the CT below it is the mean on that way, as a radiograph shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.preprocessing import AIR_HU
from fedmq.imaging.report.png import encode_png
from fedmq.imaging.resampling import Floats, Grid, resample
from fedmq.imaging.volumes import Volume

MAX_SIDE: Final = 256
"""Pixels of a picture's longer side."""
MIN_PIXEL_MM: Final = 1.5
DARKEST_SUV: Final = 10.0
_OUTLINE: Final = 255
"""The colour of the mask's outline among the greys."""
_OUTLINE_RGB: Final = (214, 64, 0)
_COVERED: Final = 0.25
"""Of a pixel's voxel: a lesion smaller than half of one is to be seen."""
_CT_HU: Final = (-300.0, 500.0)
_CT_SHADE: Final = 0.45
"""How dark the densest way through the patient is, of black."""
_PLAUSIBLE: Final = (0.5, 200.0)
_GREYS: Final = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
PALETTE: Final = np.where(np.arange(256)[:, None] == _OUTLINE, _OUTLINE_RGB, _GREYS).astype(
    np.uint8
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One view of a case, as a PNG file."""

    view: str
    """coronal or sagittal."""
    png: bytes
    width: int
    height: int


def draw_case(volumes: Mapping[str, Volume]) -> tuple[Picture, ...]:
    """Return the coronal and the sagittal view of what there is of PET, CT and mask.

    Heads are up. From the front, the patient's right is on the left; from the side, the face is.
    """
    shown = [volumes[modality] for modality in ("PET", "CT") if modality in volumes]
    if not shown:
        return ()
    grid = _grid_around(shown)
    layers = {
        modality: resample(_marked(volume) if modality == "MASK" else volume, grid, outside=outside)
        for modality, outside in (("PET", 0.0), ("CT", AIR_HU), ("MASK", 0.0))
        if (volume := volumes.get(modality)) is not None
    }
    return tuple(_picture(view, layers, axis) for view, axis in (("coronal", 1), ("sagittal", 0)))


def _marked(mask: Volume) -> Volume:
    return Volume(array=np.asarray(mask.array > 0, np.float32), affine=mask.affine)


def _grid_around(volumes: list[Volume]) -> Grid:
    """Return a grid of cubes along the patient's axes that holds all of the volumes."""
    corners = np.concatenate([_corners(volume) for volume in volumes])
    low, high = corners.min(axis=0), corners.max(axis=0)
    pixel = max(MIN_PIXEL_MM, float((high - low).max()) / MAX_SIDE)
    sides = np.maximum(1, np.ceil((high - low) / pixel - 1e-6)).astype(int)
    affine = np.diag([pixel, pixel, pixel, 1.0])
    affine[:3, 3] = low + pixel / 2
    return Grid(affine=affine, shape=(int(sides[0]), int(sides[1]), int(sides[2])))


def _corners(volume: Volume) -> NDArray[np.float64]:
    indices = np.array(list(np.ndindex(2, 2, 2))) * np.array(volume.array.shape) - 0.5
    return np.asarray(indices @ volume.affine[:3, :3].T + volume.affine[:3, 3])


def _picture(view: str, layers: Mapping[str, Floats], axis: int) -> Picture:
    pet, ct, mask = (layers.get(modality) for modality in ("PET", "CT", "MASK"))
    one = pet if pet is not None else ct
    light = np.ones(one.max(axis=axis).shape) if one is not None else np.ones((1, 1))
    if ct is not None:
        low, high = _CT_HU
        dense = np.clip((ct - low) / (high - low), 0.0, 1.0).mean(axis=axis)
        light *= 1.0 - _CT_SHADE * dense / max(float(dense.max()), 1e-6)
    if pet is not None:
        highest = pet.max(axis=axis)
        light *= 1.0 - np.clip(highest / _black(float(highest.max())), 0.0, 1.0)
    pixels = np.asarray(np.rint(light * (_OUTLINE - 1)), dtype=np.uint8)
    if mask is not None:
        pixels[_outline(mask.max(axis=axis) >= _COVERED)] = _OUTLINE
    # Rows from the head down; columns from the patient's right, or from the face.
    turned = np.ascontiguousarray(pixels.T[::-1, ::-1])
    height, width = turned.shape
    return Picture(view=view, png=encode_png(turned, PALETTE), width=width, height=height)


def _black(highest: float) -> float:
    """Return the uptake that is drawn black: of a PET on another scale, its highest."""
    low, high = _PLAUSIBLE
    return DARKEST_SUV if low <= highest <= high or highest <= 0.0 else highest


def _outline(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels around what is marked, shape as it: uptake inside stays to be seen."""
    wide = np.pad(marked, 1)
    near = wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
    return np.asarray(near & ~marked)
