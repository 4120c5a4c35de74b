"""Case files: a stored case as one file, to be mapped into memory; anything else is no case.

    magic     8 bytes
    length    of the header, 8 bytes, little-endian
    checksum  CRC-32 of all that follows, 4 bytes, little-endian
    header    JSON: key, sides, whether there is a mask, affine, counts
    images    uint16, little-endian, C order, at a multiple of 64 bytes; then the two projections
    mask      a byte for each voxel

A file is whole or it is none: it is written under another name, and its checksum is looked
at when it is opened. So nobody waits for a disk to sync: what a crash has torn is made again.
"""

import contextlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.inflating import checksum
from fedmq.imaging.stored import StoredCase

PART: Final = ".part"
_MAGIC: Final = b"FEDMQ\x00\x00\x01"
_LENGTH_AND_CHECKSUM: Final = struct.Struct("<QI")
_FIRST: Final = len(_MAGIC) + _LENGTH_AND_CHECKSUM.size
_ALIGNED: Final = 64
_NUMBER: Final = np.dtype("<u2")


def write_case(path: Path, key: str, case: StoredCase) -> None:
    """Put a case into a file of its own, in the place of one that was there.

    Raises:
        OSError: the disk refuses; nothing is left behind.
    """
    parts = [
        np.ascontiguousarray(numbers, dtype=_NUMBER).reshape(-1).view(np.uint8)
        for numbers in (case.images, case.coronal, case.sagittal)
    ]
    if case.mask is not None:
        parts.append(np.ascontiguousarray(case.mask).reshape(-1).view(np.uint8))
    header = json.dumps(
        {
            "key": key,
            "sides": case.images.shape[1:],
            "has_mask": case.mask is not None,
            "affine": case.affine.tolist(),
            "body": case.body_counts.tolist(),
            "lesion": case.lesion_counts.tolist(),
            "rest": dict(case.rest),
        }
    ).encode()
    header += b" " * (-(_FIRST + len(header)) % _ALIGNED)
    total = checksum(np.frombuffer(header, np.uint8), *parts)
    begin = _MAGIC + _LENGTH_AND_CHECKSUM.pack(len(header), total) + header
    part = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}{PART}")
    try:
        with part.open("xb", buffering=0) as file:
            _write_all(file.fileno(), memoryview(begin))
            for piece in parts:
                _write_all(file.fileno(), piece.data)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def read_case(path: Path, key: str) -> StoredCase | None:
    """Return the case of `key` in a file, its arrays the file's own pages; None: it is not there.

    What is no such case, or not whole, is not there.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(_FIRST)
            if not begin.startswith(_MAGIC):
                return None
            length, total = _LENGTH_AND_CHECKSUM.unpack(begin[len(_MAGIC) :])
            # Plain arrays on the pages: each view of a memmap costs several times as much.
            pages = np.asarray(np.memmap(file, dtype=np.uint8, mode="r", offset=0))
        if checksum(pages[_FIRST:]) != total:
            return None
        header = json.loads(pages[_FIRST : _FIRST + length].tobytes())
        return _read_arrays(header, pages[_FIRST + length :]) if header["key"] == key else None
    except (OSError, ValueError, struct.error):
        return None


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _read_arrays(header: dict[str, Any], pages: NDArray[np.uint8]) -> StoredCase | None:
    x, y, z = sides = tuple(int(side) for side in header["sides"])
    num_voxels = math.prod(sides)
    shapes = [(2, x, y, z), (2, x, z), (2, y, z)]
    ends = np.cumsum([0, *(math.prod(shape) * _NUMBER.itemsize for shape in shapes)]).tolist()
    if len(pages) != ends[-1] + (num_voxels if header["has_mask"] else 0):
        return None
    images, coronal, sagittal = (
        pages[begin:end].view(_NUMBER).reshape(shape)
        for begin, end, shape in zip(ends, ends[1:], shapes, strict=False)
    )
    body, lesion = (np.array(header[name], dtype=np.int64) for name in ("body", "lesion"))
    affine = np.array(header["affine"], dtype=np.float64)
    if body.shape != (x,) or lesion.shape != (x,) or affine.shape != (4, 4):
        return None
    return StoredCase(
        images=images,
        coronal=coronal,
        sagittal=sagittal,
        mask=pages[ends[-1] :].view(np.bool_).reshape(x, y, z) if header["has_mask"] else None,
        affine=affine,
        body_counts=body,
        lesion_counts=lesion,
        rest={
            name: tuple(value) if isinstance(value, list) else value
            for name, value in header["rest"].items()
        },
        is_mapped=True,
    )
