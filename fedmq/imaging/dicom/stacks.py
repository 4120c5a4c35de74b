"""Stacks: whether the slices of a series make one volume, and where its voxels lie. Pure.

DICOM gives the centre of a slice's first pixel and the directions of its rows and columns in
millimetres, axes to the patient's left, back and head (LPS; PS3.3 C.7.6.2). Slices lie in the order
of their positions along the normal: their numbers, names and times say nothing about that.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError

MIN_SPACING_MM: Final = 0.2
MAX_SPACING_MM: Final = 20.0
MAX_VOXELS: Final = 2**29
"""Of a volume, in float32 2 GB; a whole body of 512 x 512 pixels has a quarter of it."""
_SAME_PLACE_MM: Final = 0.01
_UNEVEN: Final = 0.03
_ASTRAY: Final = 0.1
"""Of a step, from where the grid has a slice: small differences of many steps add up."""
_MAX_SHIFT_MM: Final = 0.2
"""To the side, from the first slice to any other: positions are rounded, gantries are tilted."""
_SAME_DIRECTION: Final = 1e-4
_SAME_SPACING: Final = 1e-3
_RIGHT_ANGLED: Final = 1e-3
LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Geometry and identity of one slice; what its file does not tell is empty."""

    sop_uid: str
    """With the number of its frame."""
    digest: str
    frame_of_reference: str
    position_mm: tuple[float, ...]
    """LPS, of the first pixel's centre."""
    orientation: tuple[float, ...]
    """Directions of a row and of a column, LPS."""
    spacing_mm: tuple[float, ...]
    """Between rows, between columns."""
    num_rows: int
    num_columns: int
    group: tuple[str, ...]
    """Stack and point in time, where a file of several slices tells them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stack:
    """Slices in order, and the grid that they make."""

    order: tuple[int, ...]
    """Which of the slices lies first, second, ... along the normal."""
    duplicates: tuple[int, ...]
    """Those left out: the same bytes as one that is in."""
    affine: NDArray[np.float64]
    """Shape (4, 4): column, row, slice to millimetres, LPS."""
    shape: tuple[int, int, int]
    """Columns, rows, slices."""


def stack_slices(slices: Sequence[Slice]) -> Stack:
    """Return the order and the grid of the slices of one series.

    Raises:
        DatasetError: code too_few_slices, no_position, mixed_series, bad_orientation, bad_spacing,
            duplicate_slice, sheared (a tilted gantry), gap or too_large.
    """
    for one in slices:
        _require_place(one)
    kept, duplicates = _without_copies(slices)
    first = slices[kept[0]]
    _require_alike([slices[index] for index in kept])
    row, column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    normal = np.cross(row, column)
    positions = np.array([slices[index].position_mm for index in kept])
    depths = positions @ normal
    ranks = np.argsort(depths, kind="stable")
    order = tuple(kept[rank] for rank in ranks)
    _require_even(depths[ranks])
    aside = positions - positions[ranks[0]]
    aside -= np.outer(aside @ normal, normal)
    if np.linalg.norm(aside, axis=1).max() > _MAX_SHIFT_MM:
        raise _fault("sheared", "its slices are shifted sideways: its gantry was tilted")
    if first.num_columns * first.num_rows * len(order) > MAX_VOXELS:
        raise _fault("too_large", f"it has more than {MAX_VOXELS} voxels")
    between_rows, between_columns = first.spacing_mm
    affine = np.eye(4)
    affine[:3, 0] = row * between_columns
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = normal * (depths[ranks[-1]] - depths[ranks[0]]) / (len(order) - 1)
    affine[:3, 3] = positions[ranks[0]]
    return Stack(
        order=order,
        duplicates=duplicates,
        affine=affine,
        shape=(first.num_columns, first.num_rows, len(order)),
    )


def _require_place(one: Slice) -> None:
    if len(one.position_mm) != 3 or len(one.orientation) != 6:  # noqa: PLR2004 - a place, two axes
        raise _fault("no_position", "one of its slices does not say where it lies")
    row, column = np.array(one.orientation[:3]), np.array(one.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > _RIGHT_ANGLED or (
        abs(row @ column) > _RIGHT_ANGLED
    ):
        raise _fault("bad_orientation", "its rows and columns are not at right angles")
    is_plausible = len(one.spacing_mm) == 2 and all(  # noqa: PLR2004 - rows and columns
        MIN_SPACING_MM <= spacing <= MAX_SPACING_MM for spacing in one.spacing_mm
    )
    if not is_plausible:
        raise _fault("bad_spacing", "one of its slices does not say how far its pixels are apart")
    if max(map(abs, one.position_mm)) > 1e4:  # noqa: PLR2004 - ten metres
        raise _fault("no_position", "one of its slices lies metres away")


def _without_copies(slices: Sequence[Slice]) -> tuple[list[int], tuple[int, ...]]:
    """Return the slices, each once, and the copies: same UID and same bytes."""
    seen: dict[str, str] = {}
    kept, copies = [], []
    for index, one in enumerate(slices):
        if one.sop_uid not in seen:
            seen[one.sop_uid] = one.digest
            kept.append(index)
        elif seen[one.sop_uid] == one.digest:
            copies.append(index)
        else:
            raise _fault("duplicate_slice", "two different files of it claim to be one slice")
    if len(kept) < 2:  # noqa: PLR2004 - a distance takes two
        raise _fault("too_few_slices", "it has a single slice")
    return kept, tuple(copies)


def _require_alike(slices: Sequence[Slice]) -> None:
    first = slices[0]
    for one in slices:
        if one.group != first.group:
            raise _fault("mixed_series", "its slices are of several stacks, or points in time")
        if (one.num_rows, one.num_columns) != (first.num_rows, first.num_columns):
            raise _fault("mixed_series", "its slices differ in their numbers of pixels")
        if one.frame_of_reference != first.frame_of_reference:
            raise _fault("mixed_series", "its slices differ in their frame of reference")
        if not _are_near(one.orientation, first.orientation, _SAME_DIRECTION):
            raise _fault("mixed_series", "its slices differ in their orientation")
        if not _are_near(one.spacing_mm, first.spacing_mm, _SAME_SPACING):
            raise _fault("mixed_series", "its slices differ in the spacing of their pixels")


def _require_even(depths: NDArray[np.float64]) -> None:
    steps = np.diff(depths)
    usual = float(np.median(steps))
    if steps.min() < _SAME_PLACE_MM:
        raise _fault(
            "duplicate_slice",
            "several of its slices lie in one place: a dynamic or gated series, or two in one",
        )
    if np.abs(steps - usual).max() > max(_UNEVEN * usual, 2 * _SAME_PLACE_MM):
        raise _fault("gap", f"its slices are not evenly apart: {_told(steps)} mm")
    astray = np.abs(depths - np.linspace(depths[0], depths[-1], len(depths))).max()
    if astray > max(_ASTRAY * usual, 2 * _SAME_PLACE_MM):
        raise _fault("gap", f"its slices lie up to {astray:.2f} mm off even steps")
    if not MIN_SPACING_MM <= usual <= MAX_SPACING_MM:
        raise _fault("bad_spacing", f"its slices are {usual:.3f} mm apart")


def _told(steps: NDArray[np.float64]) -> str:
    return f"{steps.min():.2f} to {steps.max():.2f}"


def _are_near(some: Sequence[float], others: Sequence[float], tolerance: float) -> bool:
    return all(
        math.isclose(a, b, rel_tol=0, abs_tol=tolerance) for a, b in zip(some, others, strict=True)
    )


def _fault(code: str, why: str) -> DatasetError:
    return DatasetError(
        "its slices make no volume",
        code=code,
        why=why,
        fix="export the whole series again, or choose another one",
    )
