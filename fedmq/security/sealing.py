"""Sealing: bytes that only chosen readers open, sealed once for all of them.

What is sealed is encrypted under a content key (AES-256-GCM); the content key is wrapped for each
reader by HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, base mode).
Who sealed it, the signature over the parcel says, not the seal.
"""

import hashlib
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from fedmq.errors import ProtocolError
from fedmq.messages.payloads import Chunk
from fedmq.security.identities import joined

SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_BROKEN: Final = "seal_broken"


def wrap_key(key: bytes, *, sender: str, reader: str, reader_key: bytes) -> bytes:
    """Return a content key as only `reader` can read it."""
    public = X25519PublicKey.from_public_bytes(reader_key)
    return SUITE.encrypt(key, public, info=_between(sender, reader))


def unwrap_key(wrap: bytes, *, sender: str, reader: str, own_keys: tuple[bytes, ...]) -> bytes:
    """Return the content key that was wrapped for `reader`, who has these private keys.

    Raises:
        ProtocolError: seal_broken; it was wrapped for another key, or altered.
    """
    for own in own_keys:
        try:
            key = SUITE.decrypt(wrap, _opener(own), info=_between(sender, reader))
        except (InvalidTag, ValueError):
            continue
        if len(key) == KEY_BYTES:
            return key
    raise ProtocolError(_BROKEN, "the content key is not for this key")


@lru_cache(maxsize=8)
def _opener(secret: bytes) -> X25519PrivateKey:
    # To make it of its bytes takes as long as to open with it.
    return X25519PrivateKey.from_private_bytes(secret)


def seal_body(body: bytes, key: bytes, *, header: bytes, nonce: bytes) -> bytes:
    """Return a body sealed under `key`; it opens with this header alone.

    `nonce` is NONCE_BYTES random bytes, and another each time.
    """
    return nonce + AESGCM(_derived(key, b"body")).encrypt(nonce, body, header)


def open_body(sealed: bytes, key: bytes, *, header: bytes) -> bytes:
    """Return what `seal_body` was given.

    Raises:
        ProtocolError: seal_broken.
    """
    nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    return _opened(_derived(key, b"body"), nonce, rest, header)


def seal_chunk(data: bytes | memoryview, key: bytes, chunk: Chunk) -> bytes:
    """Return the bytes of a chunk sealed under its payload's key: each time the same."""
    return AESGCM(_derived(key, b"chunk")).encrypt(_nonce(chunk), data, _place(chunk))


def open_chunk(sealed: bytes | memoryview, key: bytes, chunk: Chunk) -> bytes:
    """Return what `seal_chunk` was given; a chunk in the place of another does not open.

    Raises:
        ProtocolError: seal_broken.
    """
    return _opened(_derived(key, b"chunk"), _nonce(chunk), sealed, _place(chunk))


def _opened(key: bytes, nonce: bytes, sealed: bytes | memoryview, beside: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, beside)
    except (InvalidTag, ValueError) as error:
        raise ProtocolError(_BROKEN) from error


def _derived(key: bytes, purpose: bytes) -> bytes:
    """Return a key for one purpose: nonces of bodies and of chunks never meet under one key."""
    return HKDFExpand(hashes.SHA256(), KEY_BYTES, b"fedmq " + purpose).derive(key)


def _nonce(chunk: Chunk) -> bytes:
    # A payload's key is that of its digest, so that under it an index always means the same bytes.
    return chunk.index.to_bytes(NONCE_BYTES, "big")


def _place(chunk: Chunk) -> bytes:
    manifest = chunk.manifest
    sizes = (manifest.size_bytes, manifest.chunk_bytes, chunk.index)
    numbers = b"".join(number.to_bytes(8, "big") for number in sizes)
    return hashlib.sha256(bytes.fromhex(manifest.digest) + numbers).digest()


def _between(sender: str, reader: str) -> bytes:
    return joined(b"content key", [sender.encode(), reader.encode()])
