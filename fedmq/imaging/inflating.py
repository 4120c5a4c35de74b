"""Inflating: the bytes of packed files, by Intel's inflate where it is installed.

isal gives the same bytes as zlib in a third of the time, and checks the same checksum; where there
is no build of it for a machine, zlib does the work.
"""

import gzip
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

try:
    from isal import igzip, isal_zlib
except ImportError:  # no build for this kind of processor
    HAS_ISAL: Final = False
else:
    HAS_ISAL: Final = True  # type: ignore[misc]  # one of two branches

MOST_TIMES: Final = 1032
"""Deflate packs nothing into less than a 1032nd (258 bytes need two bits: RFC 1951, 3.2.5)."""
_READ_BYTES: Final = 1024 * 1024


def inflate_errors() -> tuple[type[Exception], ...]:
    """Return what reading a packed file may raise beside OSError: it is damaged, or cut off."""
    return (EOFError, zlib.error, *((isal_zlib.error,) if HAS_ISAL else ()))


def open_packed(path: Path) -> BufferedIOBase:
    """Return a file to read what is packed (gzip, RFC 1952) in the one at `path`.

    Raises:
        OSError: it cannot be opened.
    """
    if HAS_ISAL:
        return cast("BufferedIOBase", igzip.IGzipFile(path, "rb"))  # type: ignore[no-untyped-call]
    return cast("BufferedIOBase", gzip.open(path))


def skip(file: BufferedIOBase, size_bytes: int) -> None:
    """Return once so many bytes are read, and forgotten; fewer where the file ends before."""
    while size_bytes and (read := file.read(min(size_bytes, _READ_BYTES))):
        size_bytes -= len(read)


def fill(file: BufferedIOBase, target: memoryview) -> None:
    """Fill all of `target` with the bytes that come next.

    Raises:
        EOFError: there are not so many.
    """
    while target:
        count = file.readinto(target[:_READ_BYTES])
        if not count:
            raise EOFError("the file ends before its last voxel")
        target = target[count:]


def is_whole(file: BufferedIOBase, *, surplus_bytes: int) -> bool:
    """Return whether a packed file that was read in part ends as what was packed, and soon.

    Raises:
        OSError, EOFError: its checksum, which stands at its end, says otherwise.
    """
    while read := file.read(_READ_BYTES):
        surplus_bytes -= len(read)
        if surplus_bytes < 0:
            return False
    return True


def checksum(*parts: NDArray[np.uint8]) -> int:
    """Return the CRC-32 (RFC 1952, 8) of bytes that follow one another."""
    crc32 = isal_zlib.crc32 if HAS_ISAL else zlib.crc32
    value = 0
    for part in parts:
        value = crc32(part.data, value)
    return value
