"""Identities: the keys of a member, private on its own machine, public in the roster.

Three secrets make an identity: an Ed25519 key that signs (RFC 8032), an X25519 key to which others
seal (RFC 7748), and a secret from which the content keys of its payloads are derived.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedmq.messages.fields import Manifest
from fedmq.types import Role

SECRET_BYTES: Final = 32
_GROUPS: Final = 8
_GROUP_LETTERS: Final = 5
_FINGERPRINT_BYTES: Final = _GROUPS * _GROUP_LETTERS * 5 // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIdentity:
    """What others know of a member."""

    name: str
    role: Role
    signing: bytes
    """Ed25519 public key, 32 bytes."""
    sealing: bytes
    """X25519 public key, 32 bytes."""

    @property
    def fingerprint(self) -> str:
        """Eight groups of five letters and digits, to be read out to each other."""
        return fingerprint(b"identity", self.role, self.name, self.signing, self.sealing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A member's own keys."""

    name: str
    role: Role
    signing: bytes = field(repr=False)
    sealing: bytes = field(repr=False)
    payloads: bytes = field(repr=False)
    retired: tuple[bytes, ...] = field(default=(), repr=False)
    """Sealing keys of before: what was sealed to them may still be on its way."""

    @property
    def public(self) -> PublicIdentity:
        """What others may know."""
        signing = Ed25519PrivateKey.from_private_bytes(self.signing).public_key()
        sealing = X25519PrivateKey.from_private_bytes(self.sealing).public_key()
        return PublicIdentity(
            name=self.name,
            role=self.role,
            signing=signing.public_bytes_raw(),
            sealing=sealing.public_bytes_raw(),
        )

    @property
    def sealing_keys(self) -> tuple[bytes, ...]:
        """The keys that open what was sealed to this member, the newest first."""
        return (self.sealing, *self.retired)

    def sign(self, purpose: bytes, *parts: bytes) -> bytes:
        """Return the signature over `parts`, which holds for nothing but `purpose`."""
        return _signer(self.signing).sign(joined(purpose, parts))

    def payload_key(self, manifest: Manifest) -> bytes:
        """Return the content key of a payload: another for each, and the same in every life.

        So an upload that is resumed is the same bytes, and nothing has to be remembered for it.
        """
        sizes = (manifest.size_bytes, manifest.chunk_bytes)
        derive = HKDF(
            algorithm=hashes.SHA256(),
            length=SECRET_BYTES,
            salt=bytes.fromhex(manifest.digest),
            info=joined(b"payload", [size.to_bytes(8, "big") for size in sizes]),
        )
        return derive.derive(self.payloads)


@lru_cache(maxsize=8)
def _signer(secret: bytes) -> Ed25519PrivateKey:
    # To make it of its bytes takes as long as to sign with it.
    return Ed25519PrivateKey.from_private_bytes(secret)


def make_identity(name: str, role: Role, secrets: Sequence[bytes]) -> Identity:
    """Return an identity of three fresh secrets of SECRET_BYTES random bytes each."""
    signing, sealing, payloads = secrets
    return Identity(name=name, role=role, signing=signing, sealing=sealing, payloads=payloads)


def is_signed(signature: bytes, by: bytes, purpose: bytes, *parts: bytes) -> bool:
    """Return whether the owner of the Ed25519 key `by` signed `parts` for this purpose."""
    try:
        Ed25519PublicKey.from_public_bytes(by).verify(signature, joined(purpose, parts))
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(kind: bytes, *words: str | bytes) -> str:
    """Return eight groups of five of a-z and 2-7: 200 bits of the SHA-256 of `words`."""
    return readable(digest_of(kind, *words))


def digest_of(kind: bytes, *words: str | bytes) -> bytes:
    """Return the SHA-256 of `words`, of which the fingerprint of this kind is the beginning."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return hashlib.sha256(joined(b"fingerprint " + kind, parts)).digest()


def readable(digest: bytes) -> str:
    """Return the fingerprint of a digest: its first 200 bits, to be read out to each other."""
    letters = base64.b32encode(digest[:_FINGERPRINT_BYTES]).decode().lower()
    return " ".join(
        letters[at : at + _GROUP_LETTERS] for at in range(0, len(letters), _GROUP_LETTERS)
    )


def joined(purpose: bytes, parts: Sequence[bytes]) -> bytes:
    """Return parts in a row, each behind its length, so that no two rows are the same bytes."""
    row = [b"fedmq ", purpose, b"\0"]
    for part in parts:
        row += [len(part).to_bytes(8, "big"), part]
    return b"".join(row)
