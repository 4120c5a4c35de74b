"""Files of an archive's export: which of them are DICOM, what they are, and whose.

A file is read whole, into memory of its own size: a length inside it that claims more than there is
finds nothing behind it. Nothing is inflated. So files have bounds, by their bytes and by the items
of their sequences, each of which takes a hundred times its bytes; of larger ones the head is read.
"""

import hashlib
import io
import logging
import os
import re
import stat
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import plain_id
from fedmq.imaging.dicom.elements import day, has_wrong_length, items, text, texts
from fedmq.imaging.dicom.frames import ENHANCED_PET
from fedmq.imaging.dicom.regions import RegionName, read_names

MAX_FILE_BYTES: Final = 256 * 1024**2
"""The outlines of a hundred organs of a whole body have half of it; a slice has thousandths."""
MAX_IMAGE_BYTES: Final = 2 * 1024**3
"""Of a file of several slices: as many voxels as a volume may have, in 32 bits."""
MAX_ITEMS: Final = 2**18
"""Outlines, each with the slice that it lies on, of a hundred organs are half as many."""
_ITEMS: Final = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""How an item begins, in either order of bytes."""
_BEGIN_BYTES: Final = 2**20
_LAST_OF_BEGIN: Final = 0x0020000E
"""Series Instance UID: up to it a file tells whose it is."""
_MAGIC_AT: Final = 128
_MAGIC: Final = b"DICM"
_ROOT: Final = b"1.2.840.10008."
"""With this begins every UID of the standard: files of DICOM alone have it near their beginning."""
_ROOT_WITHIN: Final = 2048
_UID: Final = re.compile(rb"(?<![0-9])[0-9]{1,39}(?:\.[0-9]{1,39}){3,}")
"""Its parts are bounded, by the longest that is used: nothing is tried from each digit of many."""
_APPLE_DOUBLE: Final = b"\0\x05\x16\x07"
"""So begins what macOS puts beside each file on a disk of others, under `._` and its name."""
_SUFFIXES: Final = (".dcm", ".dicom", ".ima")
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_OF_SEVERAL_SLICES: Final = {
    "1.2.840.10008.5.1.4.1.1.2.1": "CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "CT",  # converted
    "1.2.840.10008.5.1.4.1.1.128.1": "PT",  # converted
    ENHANCED_PET: "PT",
}
_IMAGES: Final = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.128": "PT",
    **_OF_SEVERAL_SLICES,
}
_STRUCTURES: Final = "1.2.840.10008.5.1.4.1.1.481.3"
_SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_REGIONS: Final = ("RTSTRUCT", "SEG")
LARGE_IMAGE: Final = "too large image"
LARGE_REGIONS: Final = "too large file of regions"
DAMAGED_REGIONS: Final = "damaged file of regions"
UNREAD_REGIONS: Final = (LARGE_REGIONS, DAMAGED_REGIONS)
_LARGE: Final = {
    "CT": LARGE_IMAGE,
    "PT": LARGE_IMAGE,
    "RTSTRUCT": LARGE_REGIONS,
    "SEG": LARGE_REGIONS,
}
_OTHERS: Final = {
    _STRUCTURES: "RTSTRUCT",
    _SEGMENTATION: "SEG",
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture",
}
_NO_SLICES: Final = {
    "LOCALIZER": "localiser",
    "SCOUT": "localiser",
    "MIP": "projection",
    "MINIP": "projection",
    "PROJECTION IMAGE": "projection",
    "MAX_IP": "projection",
    "MIN_IP": "projection",
    "SURFACE_RENDER": "projection",
    "VOLUME_RENDER": "projection",
}
"""Values of Image Type, or of how a volume was used, that tell what only looks like a slice."""
_SEXES: Final = ("F", "M")
_CAPTURES: Final = "1.2.840.10008.5.1.4.1.1.7."
_REPORTS: Final = ("1.2.840.10008.5.1.4.1.1.88.", "1.2.840.10008.5.1.4.1.1.104.")

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
# Its warnings print values, which may be names; what is wrong with a file is said here by name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of DICOM that may belong to a case."""

    path: str
    """Below the folder that is imported."""
    digest: str
    """SHA-256 of its bytes."""
    kind: str
    """CT, PT, RTSTRUCT, SEG; of others why it is left out, in words of this module."""
    patient_id: str
    study_uid: str
    series_uid: str
    birth_date: str
    name: str
    """Of the patient, as `_plain_name` has it, for comparing: it is never written."""
    sex: str
    """F, M, or empty: others may be corrected later."""
    day: int | None
    """On which it was taken, in days of a running number."""
    frame_of_reference: str
    references: frozenset[str]
    """Of RTSTRUCT and SEG: the series on which they were drawn; if they name none, the frames of
    reference."""
    regions: tuple[RegionName, ...]
    """Of the same, what was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """One file that is of no use here."""

    path: str
    why: str
    """no DICOM, no plain file, DICOMDIR or damaged."""
    uids: frozenset[str] = frozenset()
    """Of a damaged file: what looks like one near its beginning, of its series and study too."""


def find_files(folder: Path) -> tuple[str, ...]:
    """Return all files below a folder, by their paths from there, sorted; links are followed.

    A folder that several links lead to is looked at once: nothing goes round in a circle.

    Raises:
        DatasetError: code missing_file (there is no such folder), or unreadable_folder: what lies
            in it would be dropped without a word.
    """
    if not folder.is_dir():
        raise DatasetError(
            "the folder to import is missing", code="missing_file", fix="give its right path"
        )
    found: list[str] = []
    seen: set[str] = set()
    for place, below, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        found += [os.path.relpath(os.path.join(place, name), folder) for name in names]  # noqa: PTH118 - a Path for each of a million files takes longer
    return tuple(sorted(found))


def _refuse_folder(error: OSError) -> None:
    raise DatasetError(
        "a folder below the one to import cannot be read",
        code="unreadable_folder",
        why=os.strerror(error.errno) if error.errno else "",
        fix="give the node's user the right to read all of it",
    ) from error


def read_entry(folder: Path, path: str) -> Entry | Foreign:
    """Return what a file is; no file breaks it."""
    place = folder / path
    begin = b""
    try:
        told = place.stat()
        if not stat.S_ISREG(told.st_mode):  # of a pipe, a socket, a device no read may end
            return Foreign(path=path, why="no plain file")
        with place.open("rb") as file:
            begin = file.read(_BEGIN_BYTES)
        if not _looks_like_dicom(place, begin):
            return Foreign(path=path, why="no DICOM")
        found = _read_entry(place, path, begin, told.st_size)
    except (DatasetError, OSError, MemoryError):
        found = _entry_of_damaged_regions(place, path, begin)
    if found is None:
        uids = frozenset(one.decode() for one in _UID.findall(begin))
        return Foreign(path=path, why="damaged", uids=uids)
    return found


def _read_entry(place: Path, path: str, begin: bytes, size_bytes: int) -> Entry | Foreign | None:
    if size_bytes > _most_bytes(begin):
        return _entry_of_large(place, path, begin)
    content = begin if size_bytes <= len(begin) else place.read_bytes()
    if sum(map(content.count, _ITEMS)) > MAX_ITEMS:
        return _entry_of_large(place, path, begin)
    dataset = parse(place, content, with_pixels=False)
    return _entry_of(path, hashlib.sha256(content).hexdigest(), dataset)


def _most_bytes(begin: bytes) -> int:
    """Return how large a file that begins so may be; it names its class early."""
    is_of_several = any(name.encode() in begin[:_ROOT_WITHIN] for name in _OF_SEVERAL_SLICES)
    return MAX_IMAGE_BYTES if is_of_several else MAX_FILE_BYTES


def _entry_of_large(place: Path, path: str, begin: bytes) -> Entry | Foreign | None:
    """Return whose a file is that is not read, by its begin, so that its case can be refused."""
    found = _entry_of_begin(place, path, begin)
    if isinstance(found, Entry):  # raw data and videos are large, and no part of a case
        return replace(found, kind=_LARGE.get(found.kind, found.kind))
    return found


def _entry_of_damaged_regions(place: Path, path: str, begin: bytes) -> Entry | None:
    """Return whose regions a damaged file has, if it begins as one: it is no slice that lacks."""
    try:
        found = _entry_of_begin(place, path, begin)
    except (DatasetError, MemoryError):
        return None
    if isinstance(found, Entry) and found.kind in _REGIONS:
        return replace(found, kind=DAMAGED_REGIONS)
    return None


def _entry_of_begin(place: Path, path: str, begin: bytes) -> Entry | Foreign | None:
    told = _read(
        place,
        begin,
        lambda file, force: read_partial(
            file, lambda tag, _vr, _length: tag > _LAST_OF_BEGIN, force=force
        ),
    )
    return _entry_of(path, "", told)


def read_dataset(path: Path, digest: str, *, with_pixels: bool) -> Dataset:
    """Return the dataset of a file that was looked at before.

    Raises:
        DatasetError: code changed_file (it is another file by now) or damaged_file.
    """
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise DatasetError(
            f"{path.name} has changed while it was imported",
            code="changed_file",
            fix="let the export end first, then import again",
        )
    return parse(path, content, with_pixels=with_pixels)


def parse(path: Path, content: bytes, *, with_pixels: bool) -> Dataset:
    """Return the dataset of these bytes of the file at `path`.

    Raises:
        DatasetError: code damaged_file or transfer_syntax.
    """
    found = _read(
        path,
        content,
        lambda file, force: pydicom.dcmread(file, stop_before_pixels=not with_pixels, force=force),
    )
    if has_wrong_length(found):
        raise _damaged(path)
    return found


def _read(path: Path, content: bytes, read: Callable[[io.BytesIO, bool], Dataset]) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _require_not_deflated(path, content)
            has_magic = content[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC
            return read(io.BytesIO(content), not has_magic)
    except (DatasetError, MemoryError):
        raise
    except Exception as error:  # pydicom raises anything on what is no DICOM
        raise _damaged(path) from error


def _damaged(path: Path) -> DatasetError:
    return DatasetError(
        f"{path.name} cannot be read",
        code="damaged_file",
        why="it is cut off or damaged",
        fix="export the series again",
    )


def _require_not_deflated(path: Path, content: bytes) -> None:
    """Refuse what names this transfer syntax anywhere: pydicom inflates it, mark or no mark."""
    if _DEFLATED in content:
        raise DatasetError(
            f"{path.name} is deflated",
            code="transfer_syntax",
            why="its size when unpacked is not told",
            fix="export the series uncompressed (Explicit VR Little Endian)",
        )


def _looks_like_dicom(path: Path, head: bytes) -> bool:
    """Return whether a file is DICOM, or was before something broke it."""
    if head.startswith(_APPLE_DOUBLE):
        return False
    if not head:
        return _may_be_emptied(path)
    return (
        head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC
        or _ROOT in head[:_ROOT_WITHIN]
        or path.name.lower().endswith(_SUFFIXES)
    )


def _may_be_emptied(path: Path) -> bool:
    """Return whether an empty file is named as slices are: many archives give them no suffix.

    What is hidden, such as `.lock`, or has the suffix of something else, is no slice.
    """
    suffix = path.suffix.lower()
    is_other = suffix not in {"", *_SUFFIXES} and not suffix[1:].isdecimal()  # a UID has decimals
    return not is_other and not path.name.startswith(".")


def _entry_of(path: str, digest: str, dataset: Dataset) -> Entry | Foreign | None:
    sop_class = text(dataset, "SOPClassUID")
    directory = text(getattr(dataset, "file_meta", Dataset()), "MediaStorageSOPClassUID")
    if _DIRECTORY in {sop_class, directory}:
        return Foreign(path=path, why="DICOMDIR")
    series = text(dataset, "SeriesInstanceUID")
    if not (sop_class and series and text(dataset, "SOPInstanceUID")):
        return None
    return Entry(
        path=path,
        digest=digest,
        kind=_kind_of(sop_class, dataset),
        patient_id=plain_id(text(dataset, "PatientID")),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=series,
        birth_date=text(dataset, "PatientBirthDate"),
        name=_plain_name(text(dataset, "PatientName")),
        sex=sex if (sex := text(dataset, "PatientSex").upper()) in _SEXES else "",
        day=day(dataset, "StudyDate") or day(dataset, "SeriesDate"),
        frame_of_reference=text(dataset, "FrameOfReferenceUID"),
        references=_references(sop_class, dataset),
        regions=read_names(dataset) if sop_class in {_STRUCTURES, _SEGMENTATION} else (),
    )


def _plain_name(name: str) -> str:
    """Return the words of a name, whatever their order, case, accents and what stands between."""
    folded = unicodedata.normalize("NFKD", name.partition("=")[0]).casefold()
    plain = "".join(one for one in folded if not unicodedata.combining(one))
    return " ".join(sorted(re.findall(r"\w+", plain)))


def _kind_of(sop_class: str, dataset: Dataset) -> str:
    """Return modality or, in words that a report may show, what else the file is."""
    used = texts(dataset, "VolumeBasedCalculationTechnique")
    words = {word.upper() for word in (*texts(dataset, "ImageType"), *used)}
    kind = "other object"
    if sop_class in _IMAGES:
        kind = next((why for word, why in _NO_SLICES.items() if word in words), _IMAGES[sop_class])
    elif sop_class in _OTHERS:
        kind = _OTHERS[sop_class]
    elif sop_class.startswith(_CAPTURES):
        kind = "secondary capture"
    elif sop_class.startswith(_REPORTS):
        kind = "report"
    return kind


def _references(sop_class: str, dataset: Dataset) -> frozenset[str]:
    if sop_class == _SEGMENTATION:
        series = [*items(dataset, "ReferencedSeriesSequence")]
    elif sop_class == _STRUCTURES:
        series = [
            series
            for frame in items(dataset, "ReferencedFrameOfReferenceSequence")
            for study in items(frame, "RTReferencedStudySequence")
            for series in items(study, "RTReferencedSeriesSequence")
        ] or [*items(dataset, "ReferencedSeriesSequence")]
    else:
        return frozenset()
    named = {text(one, "SeriesInstanceUID") for one in series} - {""}
    if not named:
        frames = [dataset, *items(dataset, "ReferencedFrameOfReferenceSequence")]
        named = {text(one, "FrameOfReferenceUID") for one in frames} - {""}
    return frozenset(named)
