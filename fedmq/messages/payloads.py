"""Payloads: bulk bytes in chunks, addressed by digest; pure, the bytes come as arguments."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Final

from pydantic import Field

from fedmq.errors import ProtocolError
from fedmq.messages.fields import DigestField, Manifest, Value
from fedmq.types import Digest

CHUNK_BYTES: Final = 2 * 2**20


class Chunk(Value):
    """One piece of a payload; its bytes travel beside this header, not in it."""

    TYPE: ClassVar = "payload.chunk"

    manifest: Manifest
    """Of the plain bytes: what is sealed has the same address."""
    index: Annotated[int, Field(ge=0)]
    sha256: DigestField
    """Of the plain bytes of this chunk."""


class ResendRequest(Value):
    """These chunks of a payload are missing; an empty list asks for all of them."""

    TYPE: ClassVar = "payload.resend"

    manifest: Manifest
    missing: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=100_000)]


def make_manifest(chunks: Iterable[bytes | memoryview], *, chunk_bytes: int) -> Manifest:
    """Return the manifest of a payload given as its consecutive chunks of `chunk_bytes`."""
    hashes = []
    size = 0
    for chunk in chunks:
        hashes.append(chunk_hash(chunk))
        size += len(chunk)
    return Manifest(digest=combine(hashes), size_bytes=size, chunk_bytes=chunk_bytes)


def chunk_hash(data: bytes | memoryview) -> Digest:
    """Return the SHA-256 of one chunk, in hexadecimal."""
    return Digest(hashlib.sha256(data).hexdigest())


class ChunkHashes:
    """The SHA-256 of each chunk of a payload that comes in pieces of any length."""

    def __init__(self, chunk_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self._done: list[bytes] = []
        self._open = hashlib.sha256()
        self._left = chunk_bytes
        """Bytes that the chunk that is open has room for."""

    def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data).cast("B")
        while view:
            piece, view = view[: self._left], view[self._left :]
            self._open.update(piece)
            self._left -= len(piece)
            if not self._left:
                self._done.append(self._open.digest())
                self._open, self._left = hashlib.sha256(), self._chunk_bytes

    def all(self) -> list[bytes]:
        """Return the hashes of all chunks so far, in order; the last chunk may be shorter."""
        is_begun = self._left < self._chunk_bytes
        return [*self._done, self._open.digest()] if is_begun else list(self._done)


def combine(hashes: Sequence[str]) -> Digest:
    """Return the digest of a payload from the hashes of its chunks, in order."""
    return Digest(hashlib.sha256(b"".join(map(bytes.fromhex, hashes))).hexdigest())


def chunk_extent(manifest: Manifest, index: int) -> tuple[int, int]:
    """Return (offset, length) of chunk `index` within its payload, in bytes."""
    offset = index * manifest.chunk_bytes
    return offset, min(manifest.chunk_bytes, manifest.size_bytes - offset)


def require_hash(chunk: Chunk, data: bytes | memoryview) -> Digest:
    """Return the hash of `data`, plain, which is what the header of the chunk says.

    Raises:
        ProtocolError: it is another.
    """
    found = chunk_hash(data)
    if found != chunk.sha256:
        raise ProtocolError("chunk_hash")
    return found


def check_extent(chunk: Chunk, data: bytes | memoryview) -> None:
    """Return if `data`, plain, can be the chunk of this index.

    Raises:
        ProtocolError: its index or length cannot be.
    """
    if chunk.index >= chunk.manifest.num_chunks:
        raise ProtocolError("chunk_out_of_range")
    if len(data) != chunk_extent(chunk.manifest, chunk.index)[1]:
        raise ProtocolError("chunk_length")
