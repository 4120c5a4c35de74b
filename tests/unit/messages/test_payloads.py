"""Payloads: chunks, their hashes and the digest over them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedmq.errors import ProtocolError
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import (
    Chunk,
    check_extent,
    chunk_extent,
    chunk_hash,
    make_manifest,
    require_hash,
)
from fedmq.types import Digest


def cut(data: bytes, size: int) -> list[bytes]:
    """Return `data` in pieces of `size`."""
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(data=st.binary(min_size=1, max_size=500), size=st.integers(1, 64))
def test_extents_cover_a_payload_without_gap_or_overlap(data: bytes, size: int) -> None:
    """The chunks of a manifest are the payload, in order, each byte once."""
    manifest = make_manifest(cut(data, size), chunk_bytes=size)
    extents = [chunk_extent(manifest, index) for index in range(manifest.num_chunks)]
    assert b"".join(data[start : start + length] for start, length in extents) == data


def test_the_digest_is_the_hash_of_the_hashes_of_the_chunks() -> None:
    """Anyone can recompute it with two lines of a standard library."""
    parts = [b"one ", b"two"]
    expected = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts))
    assert make_manifest(parts, chunk_bytes=4).digest == expected.hexdigest()


def test_a_payload_in_billions_of_chunks_is_no_payload() -> None:
    """Its receiver keeps a hash for each: one small message would take all its memory."""
    assert (
        Manifest(digest=Digest("a" * 64), size_bytes=100_000, chunk_bytes=1).num_chunks == 100_000
    )
    with pytest.raises(ValidationError):
        Manifest(digest=Digest("a" * 64), size_bytes=64 * 2**30, chunk_bytes=1)


def test_the_same_bytes_in_other_chunks_have_another_address() -> None:
    """An address says how a payload is cut, so that its chunks can be checked alone."""
    data = bytes(100)
    assert (
        make_manifest(cut(data, 10), chunk_bytes=10).digest
        != make_manifest(cut(data, 20), chunk_bytes=20).digest
    )


@pytest.mark.parametrize(
    ("index", "data", "reason"),
    [
        (2, b"two", "chunk_out_of_range"),
        (0, b"two", "chunk_length"),
        (1, b"twos", "chunk_length"),
    ],
)
def test_a_chunk_that_is_not_what_it_says_is_refused(index: int, data: bytes, reason: str) -> None:
    """Index and length are checked against the manifest."""
    manifest = Manifest(digest="ab" * 32, size_bytes=7, chunk_bytes=4)
    chunk = Chunk(manifest=manifest, index=index, sha256=chunk_hash(b"two"))
    with pytest.raises(ProtocolError) as caught:
        check_extent(chunk, data)
    assert caught.value.reason == reason


def test_bytes_that_are_not_those_of_the_header_are_refused() -> None:
    """Before anything is made of them."""
    manifest = Manifest(digest="ab" * 32, size_bytes=7, chunk_bytes=4)
    chunk = Chunk(manifest=manifest, index=1, sha256=chunk_hash(b"two"))
    assert require_hash(chunk, b"two") == chunk.sha256
    with pytest.raises(ProtocolError, match="chunk hash"):
        require_hash(chunk, b"tow")


def test_a_chunk_that_is_what_it_says_passes() -> None:
    """The last chunk may be shorter than the others."""
    manifest = Manifest(digest="ab" * 32, size_bytes=7, chunk_bytes=4)
    check_extent(Chunk(manifest=manifest, index=1, sha256=chunk_hash(b"two")), b"two")
