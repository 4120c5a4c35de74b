"""Volumes: one 3-D image with its geometry, read from and written to NIfTI.

The only user of nibabel.

Arrays stand in RAS+ order (first axis to the patient's right, then anterior, then superior), in
float32: nibabel's own default, float64, doubles the memory and adds nothing to what scanners give.
"""

import gzip
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from nibabel import imageglobals
from nibabel.affines import voxel_sizes
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError, SpatialImage
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.inflating import (
    MOST_TIMES,
    fill,
    inflate_errors,
    is_whole,
    open_packed,
    skip,
)

MIN_SPACING_MM: Final = 0.2
MAX_SPACING_MM: Final = 20.0
MAX_APART: Final = 0.5
"""Of a voxel, between the places that sform and qform give a corner."""
_QFORM_RAD: Final = 1.2e-3
"""By which float32 may turn a qform, where it turns by half a turn: 2 sqrt(3 eps)."""
_SPATIAL_AXES: Final = 3
MAX_VOXELS: Final = 2**30
"""A whole body at 0.7 mm; a damaged header asks for any amount of memory."""
MAX_OFFSET: Final = 16 * 1024**2
"""Bytes before the first voxel: header and extensions, which nibabel takes into memory."""
_SURPLUS_BYTES: Final = 1024**2
"""Behind the last voxel some programs leave a few bytes; a packed GB there is no volume."""
# What nibabel mends it prints, without a file's name; what matters of that is raised here.
imageglobals.logger.setLevel(logging.CRITICAL)
_Numbers = NDArray[np.float32] | NDArray[np.int16]
_PIECE: Final = 2**20
"""Voxels that are read at a time: few enough to stay in the processor's own memory."""
_HEADER_BYTES: Final = 348
_HEADER_2_BYTES: Final = 540
"""Of NIfTI-1 and NIfTI-2; both begin with this number."""
_NUMBERS: Final = "biuf"
"""Kinds of voxels: booleans, integers, floats; no colours, no complex numbers."""
_UNREADABLE: Final[tuple[type[Exception], ...]] = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    ValueError,
    OverflowError,  # an offset that is infinite
    *inflate_errors(),
    np.linalg.LinAlgError,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volume:
    """One image: numbers, and where each of them lies in the patient."""

    array: NDArray[np.float32]
    """Shape (X, Y, Z), RAS+, float32; PET in SUV, CT in HU, masks in 0 and 1."""
    affine: NDArray[np.float64]
    """Shape (4, 4): voxel indices to millimetres, RAS+."""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel spacing in mm, by axis."""
        x, y, z = voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredVolume:
    """One image with the numbers of its file, which may be small integers: half of the memory."""

    array: NDArray[np.float32] | NDArray[np.int16]
    """Shape (X, Y, Z), RAS+, in the unit that a `Volume` has; sums of int16 may overflow."""
    affine: NDArray[np.float64]
    """Shape (4, 4): voxel indices to millimetres, RAS+."""


def load_volume(path: Path) -> Volume:
    """Return the volume in the NIfTI file at `path`, turned to RAS+.

    Raises:
        DatasetError: as for `load_stored`.
    """
    stored = load_stored(path)
    return Volume(array=np.asarray(stored.array, dtype=np.float32), affine=stored.affine)


def load_stored(path: Path) -> StoredVolume:
    """Return the volume in the NIfTI file at `path`, turned to RAS+, to be resampled.

    Raises:
        DatasetError: code missing_file, unreadable, corrupt_file, not_3d, bad_affine or
            not_finite. The text names the file, not its folder, which may carry a patient's name.
    """
    try:
        if not path.is_file():
            raise DatasetError(
                f"{path.name} is missing",
                code="missing_file",
                fix="put the file there, or mend its name",
            )
        _require_honest(path)
        image = nibabel.load(path)
        if not isinstance(image, SpatialImage):
            raise _fault(path, "corrupt_file", "it holds no image")
        affine = _checked_affine(image, path)
        shape = _spatial_shape(image, path)
        if image.get_data_dtype().kind not in _NUMBERS:
            raise _fault(path, "corrupt_file", "its voxels are no plain numbers")
        with np.errstate(over="ignore", invalid="ignore"):  # values are looked at below
            array, affine = _turn(_read_voxels(image, path), image.affine)
    except PermissionError as error:
        raise DatasetError(
            f"{path.name} cannot be used",
            code="unreadable",
            why="the user that the node runs as may not read it",
            fix="let that user read it",
        ) from error
    except _UNREADABLE as error:
        raise _fault(path, "corrupt_file", "it is cut off, damaged or no NIfTI file") from error
    array = array.reshape(array.shape[: len(shape)])
    if array.dtype != np.int16 and not np.isfinite(array).all():
        raise _fault(path, "not_finite", "it holds NaN or infinite values")
    return StoredVolume(array=array, affine=affine)


def turn_to_ras(array: NDArray[np.float32], affine: NDArray[np.float64]) -> Volume:
    """Return the volume of an array whose axes run anyhow: they are swapped and reversed to RAS+.

    Every voxel keeps its value and its place; nothing is interpolated.

    Args:
        array: shape (3 axes), float32.
        affine: shape (4, 4), voxel indices to mm in RAS+.
    """
    turned, ras = _turn(array, affine)
    return Volume(array=np.ascontiguousarray(turned, dtype=np.float32), affine=ras)


def corners_mm(sides: Sequence[int], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eight outer corners of a grid in mm, shape (8, 3)."""
    indices = np.array(list(np.ndindex(2, 2, 2))) * np.array(sides) - 0.5
    return np.asarray(indices @ affine[:3, :3].T + affine[:3, 3])


def save_volume(volume: Volume, path: Path) -> None:
    """Write `volume` to a NIfTI file (`.nii` or `.nii.gz`); equal volumes give equal bytes.

    Numbers are stored as float32; the affine stands in sform and qform, code 1 (scanner).
    """
    image = nibabel.Nifti1Image(np.asarray(volume.array, dtype=np.float32), None)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.affine, code=1)
    image.set_qform(volume.affine, code=1, strip_shears=True)
    content = image.to_bytes()
    # gzip's own header would carry the time of writing.
    # Level 1: noise hardly packs better at level 9, which takes ten times as long.
    is_packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if is_packed else content)


def _require_honest(path: Path) -> None:
    """Return if a file can hold as much as its header tells: before memory is taken for it.

    Raises:
        DatasetError: code corrupt_file.
        OSError, EOFError: it is not packed as its name says.
        HeaderDataError, ValueError, OverflowError: its header is none.
    """
    size = path.stat().st_size
    if not size:
        raise _fault(path, "corrupt_file", "it is empty: it has no byte")
    is_packed = _is_packed(path)
    with open_packed(path) if is_packed else path.open("rb") as file:
        needed = _extent(file.read(_HEADER_2_BYTES), path)
    most = size * MOST_TIMES if is_packed else size
    if needed > most:
        at_most = "at most " if is_packed else ""
        raise _fault(
            path,
            "corrupt_file",
            f"its header tells of {needed} bytes, it has {at_most}{most}: it is cut off",
        )


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _extent(begin: bytes, path: Path) -> int:
    """Return where the voxels of a file end, in bytes, by its first bytes.

    Raises:
        DatasetError: code corrupt_file or not_3d.
        HeaderDataError, ValueError, OverflowError: the bytes are no header.
    """
    sizes = {int.from_bytes(begin[:4], order) for order in ("little", "big")}
    if not sizes & {_HEADER_BYTES, _HEADER_2_BYTES}:
        raise _fault(path, "corrupt_file", "it does not begin as a NIfTI file does")
    header: nibabel.Nifti1Header = (
        nibabel.Nifti2Header(begin, check=True)
        if _HEADER_2_BYTES in sizes
        else nibabel.Nifti1Header(begin[:_HEADER_BYTES], check=True)
    )
    # nibabel would make voxels of a millimetre of those that have no size.
    sizes_mm = nibabel.Nifti1Header(begin[:_HEADER_BYTES], check=False)["pixdim"][1:4]
    if _HEADER_BYTES in sizes and not header["sform_code"] and not sizes_mm.all():
        raise _fault(path, "bad_affine", "its voxels have no size")
    if bytes(header["magic"])[:2] != b"n+":  # "ni": the voxels stand in another file, .img
        raise _fault(path, "corrupt_file", "its header is of a pair .img/.hdr: use nib-convert")
    if np.isinf(float(header["scl_slope"])):  # 0 and NaN say: no scale
        raise _fault(path, "corrupt_file", "the scale of its values is infinite")
    shape: tuple[int, ...] = header.get_data_shape()
    if any(side < 1 for side in shape):
        raise _fault(path, "not_3d", f"its shape is {shape}; a volume has three axes")
    if math.prod(shape) > MAX_VOXELS:
        raise _fault(path, "corrupt_file", f"its header tells of {math.prod(shape)} voxels")
    offset = int(float(header["vox_offset"]))
    if not 0 <= offset <= MAX_OFFSET:
        raise _fault(path, "corrupt_file", f"its voxels would begin at byte {offset}")
    itemsize = int(header.get_data_dtype().itemsize)
    return offset + math.prod(shape) * itemsize


def _turn(array: _Numbers, affine: NDArray[np.float64]) -> tuple[_Numbers, NDArray[np.float64]]:
    """Return an image's numbers and affine, both in RAS+."""
    turn = io_orientation(affine)
    turned = affine @ inv_ornt_aff(turn, array.shape[:_SPATIAL_AXES])
    return apply_orientation(array, turn), np.asarray(turned, dtype=np.float64)


def _read_voxels(image: SpatialImage, path: Path) -> _Numbers:
    """Return an image's numbers in their unit, in the order of its file.

    Float32, or int16 where that is what the file has, unscaled. Piece by piece: other numbers, and
    float64, in which nibabel scales, are never in memory as a whole.

    Raises:
        DatasetError: code corrupt_file; far more follows than its header tells.
        OSError, EOFError: the file is cut off; of a packed one the checksum, which stands at its
            end, says otherwise.
    """
    stored = image.dataobj
    if not isinstance(stored, ArrayProxy):
        return np.asarray(stored, dtype=np.float32)
    slope, inter = np.float32(stored.slope), np.float32(stored.inter)
    is_scaled = slope != 1 or inter != 0
    kind = np.int16 if stored.dtype == np.int16 and not is_scaled else np.float32
    array: _Numbers = np.empty(math.prod(stored.shape), dtype=kind)
    piece = np.empty(_PIECE, dtype=stored.dtype)
    is_packed = _is_packed(path)
    with open_packed(path) if is_packed else path.open("rb") as file, np.errstate(over="ignore"):
        skip(file, stored.offset)
        for first in range(0, len(array), _PIECE):
            target = array[first : first + _PIECE]
            part = target if kind == np.int16 else piece[: len(target)]
            fill(file, part.view(np.uint8).data)
            if part is not target:
                target[...] = part
            if is_scaled:
                target *= slope
                target += inter
        if is_packed and not is_whole(file, surplus_bytes=_SURPLUS_BYTES):
            raise _fault(path, "corrupt_file", "it holds far more than its header tells")
    return array.reshape(stored.shape, order=stored.order)


def _spatial_shape(image: SpatialImage, path: Path) -> tuple[int, ...]:
    """Return the first three sides; further axes of length one are allowed and dropped."""
    shape = tuple(image.shape)
    surplus = shape[_SPATIAL_AXES:]
    if len(shape) < _SPATIAL_AXES or any(side != 1 for side in surplus) or 0 in shape:
        raise _fault(path, "not_3d", f"its shape is {shape}; a volume has three axes")
    return shape[:_SPATIAL_AXES]


def _checked_affine(image: SpatialImage, path: Path) -> NDArray[np.float64]:
    affine = image.affine
    if affine is None or not np.isfinite(affine).all():
        raise _fault(path, "bad_affine", "its affine is missing or not finite")
    if not _has_place(image):
        raise _fault(path, "bad_affine", "it does not say where its voxels lie in the patient")
    spacing = voxel_sizes(affine)
    if spacing.min() < MIN_SPACING_MM or spacing.max() > MAX_SPACING_MM:
        raise _fault(
            path,
            "bad_affine",
            f"its voxels measure {np.round(spacing, 3).tolist()} mm; "
            f"{MIN_SPACING_MM} to {MAX_SPACING_MM} mm are plausible",
        )
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:  # noqa: PLR2004 - nearly flat
        raise _fault(path, "bad_affine", "its axes lie in one plane")
    _require_one_place(image, path)
    return np.asarray(affine, dtype=np.float64)


def _has_place(image: SpatialImage) -> bool:
    """Return whether the file says where it lies; where it does not, nibabel makes a place up."""
    if not isinstance(image, nibabel.Nifti1Pair):
        return True
    return bool(image.header["sform_code"] or image.header["qform_code"])


def _require_one_place(image: SpatialImage, path: Path) -> None:
    """Return if sform and qform, where the file has both, put every corner at the same place.

    To half a voxel, and what a qform loses by rounding: of a whole body that may be more. A shear,
    which a qform cannot hold, counts like any other distance.

    Raises:
        DatasetError: code bad_affine.
        ValueError: the qform is no rotation.
    """
    header = image.header
    if not isinstance(header, nibabel.Nifti1Header):
        return
    if not (header["sform_code"] and header["qform_code"]):
        return
    sides = image.shape[:_SPATIAL_AXES]
    sform = header.get_sform()
    corners = corners_mm(sides, sform)
    apart_mm = np.linalg.norm(corners_mm(sides, header.get_qform()) - corners, axis=1).max()
    rounding_mm = _QFORM_RAD * np.linalg.norm(corners[-1] - corners[0])
    if not apart_mm <= MAX_APART * voxel_sizes(sform).min() + rounding_mm:
        raise DatasetError(
            f"{path.name} cannot be used",
            code="bad_affine",
            why=f"its header says two places: those of sform and qform are {apart_mm:.1f} mm "
            "apart, and in one of them left may be right",
            fix="export the series again; or find out which is right, and set the other one's "
            "code to 0, in Python: image.set_qform(None, 0) or image.set_sform(None, 0)",
        )


def _fault(path: Path, code: str, why: str) -> DatasetError:
    return DatasetError(
        f"{path.name} cannot be used",
        code=code,
        why=why,
        fix="export the series again, or leave the case out of the dataset",
    )
