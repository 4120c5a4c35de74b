"""The mask of a case: what of its study's drawn regions lies on its PET or CT.

No part of a tumour passes as all of it: where one file cannot be used, others on the same images
make no mask either. Images do without.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.choosing import Chosen
from fedmq.imaging.dicom.elements import items, text, whole
from fedmq.imaging.dicom.files import Entry
from fedmq.imaging.dicom.masks import DrawnMask, draw_mask
from fedmq.imaging.dicom.regions import is_wanted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaseMask:
    """The mask of a case, or why it has none."""

    array: NDArray[np.bool_] | None = None
    """Shape (columns, rows, slices); None: there is no mask."""
    drawn_on: str = ""
    """PET or CT: on whose grid it is."""
    num_united: int = 0
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int]
    """Kind of file and why -> how many."""


def unite_masks(
    drawn: Sequence[Entry],
    read: Callable[[Entry], Dataset],
    images: Mapping[str, Chosen],
    patterns: Sequence[str],
) -> CaseMask:
    """Return the union of the regions that were asked for, of the first image that has any.

    Args:
        drawn: the RTSTRUCT and SEG files of the study.
        read: returns the whole dataset of one.
        images: PET, CT -> what was taken, the one whose regions come first at first.
        patterns: of regions, as `is_wanted` takes them.

    Raises:
        DatasetError: code changed_file.
    """
    found = _Found(masks={name: [] for name in images})
    versions: dict[str, list[str]] = {}
    files = {entry.digest: entry for entry in drawn}
    if len(files) < len(drawn):
        number = len(drawn) - len(files)
        found.notes.append(f"files of its regions that were copies, byte for byte: {number}")
    for entry in files.values():
        names = list(images)
        try:
            dataset = read(entry)
            names = _drawn_on(entry, dataset, images, patterns)
            other = versions.setdefault(text(dataset, "SOPInstanceUID"), names)
            if other is not names:
                names = [*names, *other]
                raise _two_versions()
            if names:
                name, mask = _draw(entry, dataset, names, images, patterns)
                found.masks[name].append(mask)
            else:
                found.left_out[f"{entry.kind} drawn on other images"] += 1
        except DatasetError as error:
            if error.code == "changed_file":
                raise
            found.left_out[f"{entry.kind} that cannot be used"] += 1
            found.notes.append(f"{entry.kind} left out: {error.code}: {error.why}; {error.fix}")
            found.spoilt.update(names)
    for name, masks in found.masks.items():
        found.notes += _tell_regions(name, masks)
    return _united(found)


@dataclass(slots=True)
class _Found:
    """What has been drawn so far."""

    masks: dict[str, list[DrawnMask]]
    """PET, CT -> what of a file is on it."""
    spoilt: set[str] = field(default_factory=set)
    """PET, CT: on which something was drawn that cannot be used."""
    notes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def _united(found: _Found) -> CaseMask:
    masks = {name: [one for one in some if one.num_united] for name, some in found.masks.items()}
    first = next((name for name in masks if name in found.spoilt or masks[name]), "")
    others = any(some for name, some in masks.items() if name != first or name in found.spoilt)
    if first in found.spoilt or not first:
        if others:
            found.notes.append("so were its other regions: a part of a tumour is not all of it")
        return CaseMask(notes=tuple(found.notes), left_out=found.left_out)
    if others:
        found.notes.append("regions drawn on the CT were left out: others were drawn on the PET")
    num_united = sum(one.num_united for one in masks[first])
    if num_united > 1:
        found.notes.append(f"its mask unites {num_united} regions")
    array = np.logical_or.reduce([one.array for one in masks[first]])
    if not array.any():
        if any(one.is_lost for one in masks[first]):  # zeros would say that there is no tumour
            found.notes.append(
                "its regions were left out: their outlines are so small that no voxel has its"
                " centre in them; draw them on images with smaller voxels"
            )
            return CaseMask(notes=tuple(found.notes), left_out=found.left_out)
        found.notes.append("its mask is empty")
    return CaseMask(
        array=array,
        drawn_on=first,
        num_united=num_united,
        notes=tuple(found.notes),
        left_out=found.left_out,
    )


def _drawn_on(
    entry: Entry, dataset: Dataset, images: Mapping[str, Chosen], patterns: Sequence[str]
) -> list[str]:
    """Return on which images a file was drawn: as its outlines say, else as the whole file does."""
    wanted = {one.number for one in entry.regions if is_wanted(one, patterns)}
    slices = _slices_named(dataset, wanted)
    by_slice = [
        name
        for name, one in images.items()
        if slices and any(text(head, "SOPInstanceUID") in slices for head in one.series.heads)
    ]
    return by_slice or [
        name
        for name, one in images.items()
        if entry.references & {one.series.uid, one.series.frame_of_reference}
    ]


def _slices_named(dataset: Dataset, wanted: Collection[int | None]) -> set[str]:
    return {
        text(image, "ReferencedSOPInstanceUID")
        for region in items(dataset, "ROIContourSequence")
        if whole(region, "ReferencedROINumber") in wanted
        for contour in items(region, "ContourSequence")
        for image in items(contour, "ContourImageSequence")
    }


def _draw(
    entry: Entry,
    dataset: Dataset,
    names: Sequence[str],
    images: Mapping[str, Chosen],
    patterns: Sequence[str],
) -> tuple[str, DrawnMask]:
    """Return a file's mask on the first of these images that it fits.

    Raises:
        DatasetError: it fits none.
    """
    *first, last = names
    for name in first:
        with suppress(DatasetError):
            return name, draw_mask(entry.kind, dataset, images[name].grid, patterns)
    return last, draw_mask(entry.kind, dataset, images[last].grid, patterns)


def _two_versions() -> DatasetError:
    return DatasetError(
        "its regions of interest cannot be used",
        code="bad_mask",
        why="two files that differ have one SOP Instance UID: which of them counts is not told",
        fix="export them again, or take the older one away",
    )


def _tell_regions(name: str, masks: Sequence[DrawnMask]) -> list[str]:
    counts = {
        f"regions drawn on the {name} with names that were not asked for (--roi)": sum(
            one.num_unwanted for one in masks
        ),
        f"regions drawn on the {name} that mark no voxel": sum(one.num_blank for one in masks),
        f"outlines drawn on the {name} that enclose nothing (open, or points)": sum(
            one.num_open for one in masks
        ),
    }
    return [f"{what}: {number}" for what, number in counts.items() if number]
