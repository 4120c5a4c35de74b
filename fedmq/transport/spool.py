"""The spool: payloads that arrive in chunks, in any order, over any number of lives.

A chunk is written in place as it comes, with its hash beside it; when all are there and their
hashes make the digest, the file is synced once and takes the payload's name. A process that is
killed finds on its next start what was written, hashes it again and keeps what is whole, so that
only the rest is asked for.

Files on the disk: `<digest>` is a whole payload; `<digest>.<size>-<chunk size>.part` holds chunks
in place and `<digest>.<size>-<chunk size>.have` 32 bytes for each chunk, zeros where it has not
come. Sizes are part of the names since a chunk may lie about them (a line may turn a bit of its
header): what it begins is another file, which never becomes whole, and harms no other.
"""

from pathlib import Path
from typing import Final

from fedmq.disk import Disk, NewFile, StoredFile
from fedmq.errors import ProtocolError, StorageError
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import (
    CHUNK_BYTES,
    Chunk,
    ChunkHashes,
    check_extent,
    chunk_extent,
    chunk_hash,
    combine,
    require_hash,
)
from fedmq.parameters import blocks
from fedmq.types import Digest

_HASH_BYTES: Final = 32
_MISSING: Final = bytes(_HASH_BYTES)


class Spool:
    """The payloads of one process on its disk."""

    def __init__(self, disk: Disk, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Keep payloads on `disk`; those that are made here have chunks of `chunk_bytes`."""
        self._disk = disk
        self._chunk_bytes = chunk_bytes
        self._hashes: dict[Manifest, list[bytes]] = {}
        self._whole: dict[str, list[bytes]] = {}
        """Hashes of the chunks of payloads made or received in this life: each byte once."""
        self._made: dict[str, HashedFile] = {}
        """By name: files that are written and not adopted yet."""

    def has(self, digest: Digest) -> bool:
        """Return whether the payload is here, whole and synced."""
        return self._disk.size_bytes(digest) is not None

    def missing(self, manifest: Manifest) -> tuple[int, ...]:
        """Return the indices of the chunks that have not come, in order; none: it is whole."""
        if self.has(manifest.digest):
            return ()
        known = self._known(manifest)
        if _MISSING not in known:
            # A life ended between the last chunk and the payload's name: no chunk comes any more.
            try:
                self._finish(manifest, known)
            except ProtocolError:
                known = self._known(manifest)
            else:
                return ()
        return tuple(index for index, value in enumerate(known) if value == _MISSING)

    def lacking_bytes(self, manifest: Manifest) -> int:
        """Return how much room the rest of a payload takes, by the notes of what has come."""
        if self.has(manifest.digest):
            return 0
        size = self._disk.size_bytes(_have(manifest)) or 0
        table = self._disk.read(_have(manifest), 0, size) if size else b""
        notes = (table[at : at + _HASH_BYTES] for at in range(0, len(table), _HASH_BYTES))
        num_here = sum(note != _MISSING for note in notes)
        return max(0, manifest.size_bytes - num_here * manifest.chunk_bytes)

    def add(self, chunk: Chunk, data: bytes | memoryview) -> bool:
        """Return whether the payload of `chunk` is whole now; a repeated chunk changes nothing.

        Raises:
            ProtocolError: there is no such chunk, or its hash is another (nothing was written); or
                all chunks are there and do not make the digest (all of them were thrown away).
            StorageError: the disk took it not; the chunk counts as not come, and where it was the
                last one, none of them.
        """
        check_extent(chunk, data)
        manifest = chunk.manifest
        if manifest not in self._hashes and self.has(manifest.digest):
            return True
        known = self._known(manifest)
        if known[chunk.index] == _MISSING:
            value = bytes.fromhex(require_hash(chunk, data))
            offset, _ = chunk_extent(manifest, chunk.index)
            self._disk.write(_part(manifest), offset, data)
            self._disk.write(_have(manifest), chunk.index * _HASH_BYTES, value)
            known[chunk.index] = value
        if _MISSING in known:
            return False
        self._finish(manifest, known)
        return True

    def adopt(self, name: str) -> Manifest:
        """Return the manifest of a file of the spool's disk, which becomes a whole payload.

        Raises:
            StorageError: the file is not there, or the disk fails.
        """
        size = self._disk.size_bytes(name) or 0
        made = self._made.pop(name, None)
        hashes = made.hashes() if made is not None and made.size_bytes == size else None
        if hashes is None:
            pieces = blocks(size, self._chunk_bytes)
            hashes = [bytes.fromhex(chunk_hash(self._disk.read(name, *piece))) for piece in pieces]
        digest = combine([value.hex() for value in hashes])
        self._disk.sync(name)
        self._disk.rename(name, digest)
        self._disk.sync_names()
        self._whole[digest] = hashes
        return Manifest(digest=digest, size_bytes=size, chunk_bytes=self._chunk_bytes)

    def chunk(self, manifest: Manifest, index: int) -> tuple[Chunk, bytes]:
        """Return one chunk of a whole payload, header and bytes."""
        data = self._disk.read(manifest.digest, *chunk_extent(manifest, index))
        known = self._whole.get(manifest.digest)
        value = chunk_hash(data) if known is None else Digest(known[index].hex())
        return Chunk(manifest=manifest, index=index, sha256=value), data

    def new_file(self, name: str) -> "HashedFile":
        """Return a file to write a payload to, which is then adopted by its name."""
        self._made[name] = made = HashedFile(self._disk, name, self._chunk_bytes)
        return made

    def discard(self, name: str) -> None:
        """Remove a file that was to become a payload."""
        self._made.pop(name, None)
        self._disk.remove(name)

    def file(self, digest: Digest) -> StoredFile:
        """Return a whole payload, to be read piece by piece."""
        return StoredFile(self._disk, digest)

    def path(self, digest: Digest) -> Path:
        """Return where a whole payload is."""
        return self._disk.path(digest)

    def remove(self, *digests: Digest) -> None:
        """Remove payloads, whole or not, whatever sizes their chunks said.

        The folder is read once for all of them.
        """
        gone = frozenset(digests)
        for manifest in [one for one in self._hashes if one.digest in gone]:
            del self._hashes[manifest]
        for digest in gone:
            self._whole.pop(digest, None)
        for name in self._disk.names() if gone else ():
            if name.partition(".")[0] in gone:
                self._disk.remove(name)

    def _throw_away(self, manifest: Manifest) -> None:
        """Let every chunk count as not come."""
        self._hashes.pop(manifest, None)
        for name in (manifest.digest, _part(manifest), _have(manifest)):
            self._disk.remove(name)

    def _finish(self, manifest: Manifest, known: list[bytes]) -> None:
        if combine([value.hex() for value in known]) != manifest.digest:
            self._throw_away(manifest)
            raise ProtocolError("payload_digest", "the chunks do not make the payload's digest")
        try:
            self._disk.sync(_part(manifest))
            self._disk.rename(_part(manifest), manifest.digest)
            self._disk.sync_names()
        except StorageError:
            # A second sync that goes well would say nothing of what the first one lost.
            self._throw_away(manifest)
            raise
        self._disk.remove(_have(manifest))
        self._whole[manifest.digest] = self._hashes.pop(manifest)

    def _known(self, manifest: Manifest) -> list[bytes]:
        """Return the hash of each chunk that is here; at first, of what an earlier life left."""
        known = self._hashes.get(manifest)
        if known is None:
            known = self._hashes[manifest] = self._recover(manifest)
        return known

    def _recover(self, manifest: Manifest) -> list[bytes]:
        known = [_MISSING] * manifest.num_chunks
        if self._disk.size_bytes(_have(manifest)) is None:
            return known
        table = self._disk.read(_have(manifest), 0, manifest.num_chunks * _HASH_BYTES)
        for index in range(len(table) // _HASH_BYTES):
            noted = table[index * _HASH_BYTES : (index + 1) * _HASH_BYTES]
            # The note may have reached the disk and the chunk not, or half of it.
            if noted != _MISSING and self._hash_on_disk(manifest, index) == noted.hex():
                known[index] = noted
        return known

    def _hash_on_disk(self, manifest: Manifest, index: int) -> str:
        if self._disk.size_bytes(_part(manifest)) is None:
            return ""
        return chunk_hash(self._disk.read(_part(manifest), *chunk_extent(manifest, index)))


class HashedFile(NewFile):
    """A file that is to become a payload: its chunks are hashed while their bytes are at hand."""

    def __init__(self, disk: Disk, name: str, chunk_bytes: int) -> None:
        super().__init__(disk, name)
        self._hashes: ChunkHashes | None = ChunkHashes(chunk_bytes)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`."""
        if offset != self.size_bytes:
            self._hashes = None
        super().write_at(offset, data)
        if self._hashes is not None:
            self._hashes.add(data)

    def hashes(self) -> list[bytes] | None:
        """Return the hash of each chunk, in order; None where it was not written in order."""
        return None if self._hashes is None else self._hashes.all()


def _part(manifest: Manifest) -> str:
    return f"{_stem(manifest)}.part"


def _have(manifest: Manifest) -> str:
    return f"{_stem(manifest)}.have"


def _stem(manifest: Manifest) -> str:
    return f"{manifest.digest}.{manifest.size_bytes}-{manifest.chunk_bytes}"
