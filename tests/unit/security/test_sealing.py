"""Seals: the vectors of RFC 9180, and what a seal is bound to."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ProtocolError
from fedmq.hub.keyring import new_identity
from fedmq.messages.fields import Manifest
from fedmq.messages.payloads import Chunk
from fedmq.security.sealing import (
    NONCE_BYTES,
    SUITE,
    open_body,
    open_chunk,
    seal_body,
    seal_chunk,
    unwrap_key,
    wrap_key,
)
from fedmq.types import Digest, Role

KEY = bytes(range(32))
MANIFEST = Manifest(digest=Digest("ab" * 32), size_bytes=10, chunk_bytes=4)


def test_hpke_is_that_of_rfc_9180() -> None:
    """Appendix A.2.1: base mode, X25519, HKDF-SHA256, ChaCha20-Poly1305; the key it ends in.

    The library seals with no associated data, the vector with some: what is compared is that it
    comes to the vector's key and nonce, which the vector's own ciphertext proves right first.
    """
    info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
    private = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"
    encapsulated = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"
    key = bytes.fromhex("ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91")
    nonce = bytes.fromhex("5c4d98150661b848853b547f")
    text = b"Beauty is truth, truth beauty"
    vector = (
        "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"
    )
    aead = ChaCha20Poly1305(key)
    assert aead.encrypt(nonce, text, b"Count-0").hex() == vector
    sealed = bytes.fromhex(encapsulated) + aead.encrypt(nonce, text, b"")
    reader = X25519PrivateKey.from_private_bytes(bytes.fromhex(private))
    assert SUITE.decrypt(sealed, reader, info=info) == text


def test_a_content_key_is_for_one_reader_from_one_sender() -> None:
    """Not for another key, not under another name, and not from somebody else."""
    lyon, paris = (new_identity(name, Role.NODE) for name in ("chu-lyon", "ghu-paris"))
    wrap = wrap_key(KEY, sender="o", reader="chu-lyon", reader_key=lyon.public.sealing)
    opened = unwrap_key(wrap, sender="o", reader="chu-lyon", own_keys=lyon.sealing_keys)
    assert opened == KEY
    for sender, reader, keys in (
        ("o", "chu-lyon", paris.sealing_keys),
        ("o", "ghu-paris", lyon.sealing_keys),
        ("p", "chu-lyon", lyon.sealing_keys),
    ):
        with pytest.raises(ProtocolError, match="content key"):
            unwrap_key(wrap, sender=sender, reader=reader, own_keys=keys)


@given(position=st.integers(0, 79))
def test_a_wrap_with_a_bit_turned_opens_nothing(position: int) -> None:
    """Wherever it is turned; and nothing but ProtocolError comes."""
    lyon = new_identity("chu-lyon", Role.NODE)
    wrap = bytearray(wrap_key(KEY, sender="o", reader="l", reader_key=lyon.public.sealing))
    wrap[position] ^= 1
    with pytest.raises(ProtocolError):
        unwrap_key(bytes(wrap), sender="o", reader="l", own_keys=lyon.sealing_keys)


def test_a_body_opens_with_its_header_alone() -> None:
    """So no envelope can be put in the place of another."""
    sealed = seal_body(b"train", KEY, header=b"to lyon", nonce=os.urandom(NONCE_BYTES))
    assert b"train" not in sealed
    assert open_body(sealed, KEY, header=b"to lyon") == b"train"
    for wrong, key in ((b"to paris", KEY), (b"to lyon", bytes(32))):
        with pytest.raises(ProtocolError):
            open_body(sealed, key, header=wrong)
    with pytest.raises(ProtocolError):
        open_body(b"", KEY, header=b"to lyon")


def test_a_chunk_opens_in_its_place_alone_and_is_the_same_bytes_each_time() -> None:
    """A resumed upload repeats bytes; a chunk of another index or payload does not open."""
    chunk = Chunk(manifest=MANIFEST, index=1, sha256=Digest("0" * 64))
    sealed = seal_chunk(b"data", KEY, chunk)
    assert sealed == seal_chunk(b"data", KEY, chunk)
    assert open_chunk(sealed, KEY, chunk) == b"data"
    other = MANIFEST.model_copy(update={"digest": Digest("cd" * 32)})
    wider = MANIFEST.model_copy(update={"size_bytes": 11})
    for changed in (
        chunk.model_copy(update={"index": 0}),
        chunk.model_copy(update={"manifest": other}),
        chunk.model_copy(update={"manifest": wider}),
    ):
        with pytest.raises(ProtocolError):
            open_chunk(sealed, KEY, changed)


def test_each_payload_has_a_key_of_its_own_and_each_sender_too() -> None:
    """The number of a chunk is its nonce: under one key it must always mean the same bytes."""
    lyon, paris = (new_identity(name, Role.NODE) for name in ("chu-lyon", "ghu-paris"))
    manifests = [
        MANIFEST,
        MANIFEST.model_copy(update={"digest": Digest("cd" * 32)}),
        MANIFEST.model_copy(update={"chunk_bytes": 5}),
    ]
    keys = {who.payload_key(manifest) for who in (lyon, paris) for manifest in manifests}
    assert len(keys) == 6
    assert lyon.payload_key(MANIFEST) == lyon.payload_key(MANIFEST)
