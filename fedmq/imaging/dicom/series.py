"""Series: the slices of CT or PET as one volume of rescaled values.

Sizes are checked before anything is allocated: a header may claim any number of pixels.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless, UncompressedTransferSyntaxes

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.elements import number, numbers, text, whole
from fedmq.imaging.dicom.files import Entry, read_dataset
from fedmq.imaging.dicom.frames import split_frames
from fedmq.imaging.dicom.stacks import LPS_TO_RAS, Slice, Stack, stack_slices
from fedmq.imaging.volumes import Volume, turn_to_ras

MAX_SIDE: Final = 8192
AIR_HU: Final = -1024.0
_BITS: Final = (8, 16, 32)
_HOUNSFIELD: Final = ("HU", "US", "")
"""Rescale Type of CT, which old scanners leave open; two energies make others, such as Z_EFF."""
_IMPLAUSIBLE: Final = 1e7


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the pixels of a slice are."""

    entry: Entry
    frame: int
    """Of the file's, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """The slices of one series of one modality, heads read, pixels not yet."""

    modality: str
    """CT or PT."""
    entries: tuple[Entry, ...]
    heads: tuple[Dataset, ...]
    """One for each slice, without pixels."""
    places: tuple[Place, ...]
    """One for each slice."""

    @property
    def head(self) -> Dataset:
        """The first slice's."""
        return self.heads[0]

    @property
    def uid(self) -> str:
        """Series Instance UID."""
        return self.entries[0].series_uid

    @property
    def number(self) -> str:
        """Its number for people, which names it without free text."""
        value = whole(self.head, "SeriesNumber")
        return "without a number" if value is None else f"{value}"

    @property
    def description(self) -> str:
        """Free text of the site, for choosing: it is never written."""
        return text(self.head, "SeriesDescription")

    @property
    def is_hounsfield(self) -> bool:
        """Whether a CT is in HU, and no map of iodine or of atomic numbers."""
        return all(text(head, "RescaleType") in _HOUNSFIELD for head in self.heads)

    @property
    def frame_of_reference(self) -> str:
        """What shares it shares coordinates."""
        return text(self.head, "FrameOfReferenceUID")


def read_series(folder: Path, modality: str, entries: Sequence[Entry]) -> Series:
    """Return a series with its heads.

    Raises:
        DatasetError: a file has changed or cannot be read.
    """
    heads: list[Dataset] = []
    places: list[Place] = []
    for entry in entries:
        told = read_dataset(folder / entry.path, entry.digest, with_pixels=False)
        for frame, head in enumerate(split_frames(told)):
            heads.append(head)
            places.append(Place(entry=entry, frame=frame))
    return Series(
        modality=modality, entries=tuple(entries), heads=tuple(heads), places=tuple(places)
    )


def stack(series: Series) -> Stack:
    """Return order and grid of a series.

    Raises:
        DatasetError: as `stack_slices`; too_large; missing_slices: it tells of more than there are.
    """
    for head in series.heads:
        _require_plain_pixels(head)
    found = stack_slices(
        [_slice(head, place) for head, place in zip(series.heads, series.places, strict=True)]
    )
    told = whole(series.head, "NumberOfSlices")
    if series.modality == "PT" and told and told > len(found.order):
        raise _fault(
            "missing_slices",
            f"it tells of {told} slices, and {len(found.order)} are there",
            "export the whole series again",
        )
    return found


def load(
    folder: Path, series: Series, grid: Stack, factors: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Return the rescaled values of a series, shape (columns, rows, slices), float32.

    Each slice has its own slope and intercept, and its own of `factors` where they are given (in
    the order of the series' heads). Values that stand for no tissue in CT become air.

    Raises:
        DatasetError: code transfer_syntax, damaged_file, no_rescale or not_plausible.
    """
    volume = np.empty(grid.shape, np.float32)
    by_file: dict[Entry, list[tuple[int, int]]] = defaultdict(list)
    for depth, index in enumerate(grid.order):
        by_file[series.places[index].entry].append((depth, index))
    for entry, slices in by_file.items():
        dataset = read_dataset(folder / entry.path, entry.digest, with_pixels=True)
        for depth, index in slices:
            stored = pixels(dataset, series.places[index].frame)
            values = _rescaled(stored, series.heads[index], is_ct=series.modality == "CT")
            if values.shape != (grid.shape[1], grid.shape[0]):
                raise _fault("damaged_file", "a slice is not of the size that it tells")
            with np.errstate(over="ignore", invalid="ignore"):  # what comes is looked at below
                volume[:, :, depth] = values.T * (factors[index] if factors else 1.0)
    # Of NaN too: whatever is compared with it is false.
    if not (volume.min() >= -_IMPLAUSIBLE and volume.max() <= _IMPLAUSIBLE):
        raise _fault("not_plausible", "its slopes make values that nothing can have")
    return volume


def as_volume(array: NDArray[np.float32], grid: Stack) -> Volume:
    """Return a volume on a grid of DICOM, turned to RAS+."""
    return turn_to_ras(array, LPS_TO_RAS @ grid.affine)


def count_tags(series: Series, kept: frozenset[str]) -> Counter[str]:
    """Return in how many files each element stands that is not `kept`; private ones together."""
    counts: Counter[str] = Counter()
    by_file: dict[Entry, Counter[str]] = defaultdict(Counter)
    for head, place in zip(series.heads, series.places, strict=True):
        names = Counter(
            "private" if tag.is_private else keyword_for_tag(tag) or "unknown"
            for tag in head.keys()  # noqa: SIM118 - a dataset iterates over elements
        )
        by_file[place.entry] |= names  # of a file's slices each tells much the same
    for names in by_file.values():
        counts.update({name: number for name, number in names.items() if name not in kept})
    return counts


def pixels(dataset: Dataset, frame: int | None = None) -> NDArray[np.generic]:
    """Return the stored pixels of a frame, or of all frames, after a look at their number.

    Raises:
        DatasetError: code transfer_syntax or damaged_file.
    """
    _require_decoder(dataset)
    try:
        return np.asarray(pixel_array(dataset, index=frame))
    except MemoryError:
        raise
    except Exception as error:  # decoders raise anything on what is damaged
        raise _fault("damaged_file", "its pixels are cut off or damaged") from error


def _rescaled(stored: NDArray[np.generic], head: Dataset, *, is_ct: bool) -> NDArray[np.float64]:
    slope, intercept = number(head, "RescaleSlope"), number(head, "RescaleIntercept")
    if slope is None or intercept is None or slope <= 0:
        raise _fault("no_rescale", "a slice does not say what its pixels stand for")
    if is_ct and text(head, "RescaleType") not in _HOUNSFIELD:  # no other one was left
        raise _fault("no_rescale", "its values are no Hounsfield units", "choose another series")
    first, last = (number(head, f"RealWorldValue{end}ValueMapped") for end in ("First", "Last"))
    if (first is not None and stored.min() < first) or (last is not None and stored.max() > last):
        raise _fault("no_rescale", "a slice has pixels of which it does not say what they are")
    with np.errstate(over="ignore", invalid="ignore"):
        plain = stored.astype(np.float64)
        values = plain * slope + intercept
    padding = number(head, "PixelPaddingValue")
    if is_ct and padding is not None:
        limit = number(head, "PixelPaddingRangeLimit")  # on either side (PS3.3 C.7.5.1.1.2)
        low, high = sorted((padding, padding if limit is None else limit))
        values[(plain >= low) & (plain <= high)] = AIR_HU
    return values


def _require_plain_pixels(head: Dataset) -> None:
    rows, columns, bits = (whole(head, key) for key in ("Rows", "Columns", "BitsAllocated"))
    if not (rows and columns and 0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise _fault("bad_size", "a slice does not tell a usable number of rows and columns")
    if bits not in _BITS or whole(head, "PixelRepresentation") not in {0, 1}:
        raise _fault("bad_pixels", "a slice does not tell how its pixels are stored")
    if whole(head, "SamplesPerPixel") not in {None, 1} or text(
        head, "PhotometricInterpretation"
    ) not in {"MONOCHROME2", ""}:
        raise _fault("bad_pixels", "its pixels are in colour or inverted")
    if whole(head, "NumberOfFrames") not in {None, 1}:
        raise _fault("multi_frame", "a file of several slices does not describe each of them")
    if text(head, "ConcatenationUID"):
        raise _fault(
            "multi_frame",
            "its volume is divided into parts of a concatenation",
            "export it whole, or as one file for each slice",
        )


def _require_decoder(dataset: Dataset) -> None:
    """Refuse pixels that nothing here decodes, and those that are fewer than the header claims."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    if syntax is None:
        raise _fault("transfer_syntax", "it does not say how its pixels are packed")
    if syntax in UncompressedTransferSyntaxes:
        rows, columns, bits = (
            whole(dataset, key) or 0 for key in ("Rows", "Columns", "BitsAllocated")
        )
        frames = whole(dataset, "NumberOfFrames") or 1
        stored = dataset.get("PixelData")
        if rows * columns * bits * frames > 8 * len(stored or b""):
            raise _fault("damaged_file", "a slice holds fewer pixels than it tells of")
        return
    try:
        is_known = syntax == RLELossless or get_decoder(syntax).is_available
    except NotImplementedError:
        is_known = False
    if not is_known:
        raise _fault(
            "transfer_syntax",
            "its pixels are compressed in a way that nothing here can read",
            "export the series uncompressed (Explicit VR Little Endian)",
        )


def _slice(head: Dataset, place: Place) -> Slice:
    return Slice(
        sop_uid=f"{text(head, 'SOPInstanceUID')} {place.frame}",
        digest=place.entry.digest,
        frame_of_reference=text(head, "FrameOfReferenceUID"),
        position_mm=numbers(head, "ImagePositionPatient"),
        orientation=numbers(head, "ImageOrientationPatient"),
        spacing_mm=numbers(head, "PixelSpacing"),
        num_rows=whole(head, "Rows") or 0,
        num_columns=whole(head, "Columns") or 0,
        group=(text(head, "StackID"), text(head, "TemporalPositionIndex")),
    )


def _fault(code: str, why: str, fix: str = "export the series again") -> DatasetError:
    return DatasetError("a series cannot be used", code=code, why=why, fix=fix)
