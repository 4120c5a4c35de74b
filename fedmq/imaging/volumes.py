"""Volumes: one 3-D image with its geometry, read from and written to NIfTI.

The only user of nibabel.

Arrays stand in RAS+ order (first axis to the patient's right, then anterior, then superior), in
float32: nibabel's own default, float64, doubles the memory and adds nothing to what scanners give.
"""

import gzip
import logging
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from nibabel import imageglobals
from nibabel.affines import voxel_sizes
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from nibabel.spatialimages import HeaderDataError, SpatialImage
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from fedmq.errors import DatasetError

MIN_SPACING_MM: Final = 0.2
MAX_SPACING_MM: Final = 20.0
_SPATIAL_AXES: Final = 3
MAX_VOXELS: Final = 2**30
"""A whole body at 0.7 mm; a damaged header asks for any amount of memory."""
MAX_OFFSET: Final = 16 * 1024**2
"""Bytes before the first voxel: header and extensions, which nibabel takes into memory."""
_SURPLUS_BYTES: Final = 1024**2
"""Behind the last voxel some programs leave a few bytes; a packed GB there is no volume."""
# What nibabel mends it prints, without a file's name; what matters of that is raised here.
imageglobals.logger.setLevel(logging.CRITICAL)
_READ_BYTES: Final = 1024 * 1024
_HEADER_BYTES: Final = 348
_HEADER_2_BYTES: Final = 540
"""Of NIfTI-1 and NIfTI-2; both begin with this number."""
_NUMBERS: Final = "biuf"
"""Kinds of voxels: booleans, integers, floats; no colours, no complex numbers."""
_UNREADABLE: Final = (
    ImageFileError,
    HeaderDataError,
    WrapStructError,
    OSError,
    EOFError,
    ValueError,
    OverflowError,  # an offset that is infinite
    zlib.error,
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


def load_volume(path: Path) -> Volume:
    """Return the volume in the NIfTI file at `path`, turned to RAS+.

    Raises:
        DatasetError: code missing_file, corrupt_file, not_3d, bad_affine or not_finite. The text
            names the file, not its folder, which may carry a patient's name.
    """
    if not path.is_file():
        raise DatasetError(
            f"{path.name} is missing",
            code="missing_file",
            fix="put the file there, or mend its name",
        )
    try:
        _require_honest(path)
        image = nibabel.load(path)
        if not isinstance(image, SpatialImage):
            raise _fault(path, "corrupt_file", "it holds no image")
        affine = _checked_affine(image, path)
        shape = _spatial_shape(image, path)
        if image.get_data_dtype().kind not in _NUMBERS:
            raise _fault(path, "corrupt_file", "its voxels are no plain numbers")
        canonical = nibabel.as_closest_canonical(image)
        with np.errstate(over="ignore", invalid="ignore"):  # values are looked at below
            array = np.asarray(canonical.dataobj, dtype=np.float32)
    except _UNREADABLE as error:
        raise _fault(path, "corrupt_file", "it is cut off, damaged or no NIfTI file") from error
    affine = np.asarray(canonical.affine, dtype=np.float64)
    array = array.reshape(array.shape[: len(shape)])
    if not np.isfinite(array).all():
        raise _fault(path, "not_finite", "it holds NaN or infinite values")
    return Volume(array=array, affine=affine)


def turn_to_ras(array: NDArray[np.float32], affine: NDArray[np.float64]) -> Volume:
    """Return the volume of an array whose axes run anyhow: they are swapped and reversed to RAS+.

    Every voxel keeps its value and its place; nothing is interpolated.

    Args:
        array: shape (3 axes), float32.
        affine: shape (4, 4), voxel indices to mm in RAS+.
    """
    turn = io_orientation(affine)
    turned = np.ascontiguousarray(apply_orientation(array, turn), dtype=np.float32)
    return Volume(array=turned, affine=affine @ inv_ornt_aff(turn, array.shape))


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
    """Return if a file holds as much as its header tells, and is what was packed.

    Nothing of the size that the header tells is taken before. A packed file is unpacked to its
    end, for its checksum stands there; nibabel stops at the last voxel.

    Raises:
        DatasetError: code corrupt_file.
        OSError, EOFError, zlib.error: its checksum says otherwise.
        HeaderDataError, ValueError, OverflowError: its header is none.
    """
    if not path.stat().st_size:
        raise _fault(path, "corrupt_file", "it is empty: it has no byte")
    opened = gzip.open if path.suffix.lower() == ".gz" else Path.open
    with opened(path, "rb") as file:
        begin = file.read(_HEADER_2_BYTES)
        needed = _extent(begin, path)
        size, most = len(begin), needed + _SURPLUS_BYTES
        while piece := file.read(_READ_BYTES):
            size += len(piece)
            if size > most:
                raise _fault(path, "corrupt_file", "it holds far more than its header tells")
            if opened is Path.open:  # its size is known: nothing is to be unpacked
                size = path.stat().st_size
                break
    if size < needed:
        raise _fault(
            path,
            "corrupt_file",
            f"its header tells of {needed} bytes, it has {size}: it is cut off",
        )


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
    return np.asarray(affine, dtype=np.float64)


def _has_place(image: SpatialImage) -> bool:
    """Return whether the file says where it lies; where it does not, nibabel makes a place up."""
    if not isinstance(image, nibabel.Nifti1Pair):
        return True
    return bool(image.header["sform_code"] or image.header["qform_code"])


def _fault(path: Path, code: str, why: str) -> DatasetError:
    return DatasetError(
        f"{path.name} cannot be used",
        code=code,
        why=why,
        fix="export the series again, or leave the case out of the dataset",
    )
