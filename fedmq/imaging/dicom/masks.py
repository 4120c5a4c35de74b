"""Masks: the regions of an RTSTRUCT or SEG file, on the grid of the series they were drawn on."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.contours import MIN_POINTS, Region, fill_region
from fedmq.imaging.dicom.elements import first_item, items, numbers, text, whole
from fedmq.imaging.dicom.regions import is_wanted, read_names
from fedmq.imaging.dicom.series import MAX_SIDE, pixels
from fedmq.imaging.dicom.stacks import Stack

MAX_OUTLINE_BYTES: Final = 2**24
"""Of its points as text, half a million: they become numbers of four times the size."""
_CLOSED: Final = "CLOSED_PLANAR"
_EXCLUSIVE: Final = "CLOSEDPLANAR_XOR"
_NEAR: Final = 0.05
"""In voxels: a segmentation lies on the grid of its images, or it is of others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnMask:
    """The union of the regions that were asked for."""

    array: NDArray[np.bool_]
    """Shape (columns, rows, slices), on the grid it was drawn on."""
    num_united: int
    num_unwanted: int
    """Regions of the file that were not asked for."""
    num_blank: int
    """Of those that were, how many mark no voxel."""
    num_open: int
    """Their outlines that enclose nothing."""
    is_lost: bool
    """Outlines enclose something, and none of them the centre of a voxel."""


def draw_mask(kind: str, dataset: Dataset, grid: Stack, patterns: Sequence[str]) -> DrawnMask:
    """Return the union of the regions of a file whose names match any of the patterns.

    Args:
        kind: RTSTRUCT or SEG.
        dataset: the whole file.
        grid: of the series that the file refers to.
        patterns: of names, as `is_wanted` takes them.

    Raises:
        DatasetError: code contour_off_grid, mask_other_grid, bad_mask, damaged_file or
            transfer_syntax.
    """
    mask = np.zeros(grid.shape, np.bool_)
    names = read_names(dataset)
    wanted = {one.number for one in names if is_wanted(one, patterns)}
    num_open = 0
    marking: dict[int | None, bool] = {}
    if kind == "RTSTRUCT":
        for number, region in read_regions(dataset, wanted):  # one by one: together they are large
            num_open += region.num_open
            if region.contours:
                inside = fill_region(region, grid.affine, grid.shape)
                marking[number] = marking.get(number, False) or bool(inside.any())
                mask |= inside
    elif wanted:
        marking = _mark_segments(dataset, wanted, grid, mask)
    return DrawnMask(
        array=mask,
        num_united=len(marking),
        num_unwanted=sum(not is_wanted(one, patterns) for one in names),
        num_blank=len(wanted) - sum(marking.values()),
        num_open=num_open,
        is_lost=kind == "RTSTRUCT" and len(marking) > 0 and not mask.any(),
    )


def read_regions(
    dataset: Dataset, wanted: Collection[int | None]
) -> Iterator[tuple[int | None, Region]]:
    """Yield the regions of an RTSTRUCT file that have one of these numbers, each with its own.

    Raises:
        DatasetError: code bad_mask (an outline is no list of points or of a region without a name,
            or there are none) or damaged_file.
    """
    if wanted and "ROIContourSequence" not in dataset:
        raise _fault("bad_mask", "it names regions, and has no outlines")
    named = {one.number for one in read_names(dataset)}
    for one in items(dataset, "ROIContourSequence"):
        number = whole(one, "ReferencedROINumber")
        if number not in named:
            raise _fault("bad_mask", "it has outlines of a region that it does not name")
        if number in wanted:
            drawn = [
                (text(contour, "ContourGeometricType"), _points(contour))
                for contour in items(one, "ContourSequence")
            ]
            closed = [
                (kind, points)
                for kind, points in drawn
                if kind in {_CLOSED, _EXCLUSIVE} and len(points) >= MIN_POINTS
            ]
            region = Region(
                contours=tuple(points for _, points in closed),
                is_xor=any(kind == _EXCLUSIVE for kind, _ in closed),
                num_open=len(drawn) - len(closed),
            )
            yield number, region


def _points(contour: Dataset) -> NDArray[np.float64]:
    """Return the points of an outline; as text, a whole body's are read a hundred times faster."""
    raw: object = contour.get_item("ContourData")
    try:
        if isinstance(raw, RawDataElement) and raw.value:
            if len(raw.value) > MAX_OUTLINE_BYTES:
                raise _fault("bad_mask", "an outline has more points than anybody draws")
            flat = np.array([float(one) for one in raw.value.split(b"\\")])
        else:
            flat = np.array(numbers(contour, "ContourData"))
    except ValueError as error:
        raise _fault("bad_mask", "an outline holds what is no number") from error
    if len(flat) % 3 or not np.isfinite(flat).all():
        raise _fault("bad_mask", "an outline is no list of points")
    return flat.reshape(-1, 3)


def _mark_segments(
    dataset: Dataset, wanted: Collection[int | None], grid: Stack, mask: NDArray[np.bool_]
) -> dict[int | None, bool]:
    """Set in `mask` the voxels of these segments, each frame's on its slice.

    Returns: of each segment that has frames, whether it marks any voxel.
    """
    frames = tuple(items(dataset, "PerFrameFunctionalGroupsSequence"))
    shared = first_item(dataset, "SharedFunctionalGroupsSequence")
    marking: dict[int | None, bool] = {}
    _require_usable(dataset, len(frames))
    for index, frame in enumerate(frames):
        identity = first_item(frame, "SegmentIdentificationSequence")
        segment = whole(identity, "ReferencedSegmentNumber")
        if segment in wanted:
            place = _slice_of(frame, shared, grid)
            image = pixels(dataset, index)
            if image.T.shape != grid.shape[:2]:
                raise _fault("mask_other_grid", "its segmentation has another number of pixels")
            mask[:, :, place] |= image.T != 0
            marking[segment] = marking.get(segment, False) or bool(image.any())
    return marking


def _require_usable(dataset: Dataset, num_frames: int) -> None:
    """Refuse what is none of zeros and ones, and a header that does not fit its frames."""
    if text(dataset, "SegmentationType") != "BINARY":
        raise _fault("bad_mask", "its segmentation is not binary", "export it as a binary one")
    sides = [whole(dataset, key) or 0 for key in ("Rows", "Columns")]
    is_usable = num_frames and num_frames == whole(dataset, "NumberOfFrames")
    if not (is_usable and all(0 < side <= MAX_SIDE for side in sides)):
        raise _fault("bad_mask", "its segmentation does not tell a usable size")


def _slice_of(frame: Dataset, shared: Dataset, grid: Stack) -> int:
    """Return the slice on which a frame lies, if it covers just that slice."""
    position = numbers(first_item(frame, "PlanePositionSequence"), "ImagePositionPatient")
    directions = _of_either(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _of_either(frame, shared, "PixelMeasuresSequence", "PixelSpacing")
    if (len(position), len(directions), len(spacing)) != (3, 6, 2):
        raise _fault("bad_mask", "its segmentation does not say where it lies")
    axes = np.column_stack(
        [np.array(directions[:3]) * spacing[1], np.array(directions[3:]) * spacing[0]]
    )
    inverse = np.linalg.inv(grid.affine)
    place = inverse[:3, :3] @ np.array(position) + inverse[:3, 3]
    # The far corner moves by as many voxels as there are for each that differs in size.
    steps = (inverse[:3, :3] @ axes - np.eye(3)[:, :2]) * np.array(grid.shape[:2])
    number = round(float(place[2]))
    off = np.abs(place - [0.0, 0.0, number]).max() > _NEAR or np.abs(steps).max() > _NEAR
    if off or not 0 <= number < grid.shape[2]:
        raise _fault("mask_other_grid", "its segmentation lies on another grid than its images")
    return number


def _of_either(frame: Dataset, shared: Dataset, sequence: str, key: str) -> tuple[float, ...]:
    return numbers(first_item(frame, sequence), key) or numbers(first_item(shared, sequence), key)


def _fault(
    code: str, why: str, fix: str = "export them together with the series on which they were drawn"
) -> DatasetError:
    return DatasetError("its regions of interest cannot be used", code=code, why=why, fix=fix)
