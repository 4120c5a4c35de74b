"""The list of certificates that count no more, as the hub's own broker reads it (RFC 5280).

Erlang looks for it at each handshake, in a folder, under the hash of the authority's name that
OpenSSL has made usual for such folders.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from fedmq.security.certificates import SKEW, KeyPair, begins_at, private_key

_HASH_BYTES: Final = 4
_SEQUENCE_HEADER_BYTES: Final = 2
_SHORT: Final = 0x80
"""Lengths below this one take a byte."""


def serial_of(certificate: str) -> str:
    """Return the serial number of a certificate (PEM), in hexadecimal."""
    return f"{x509.load_pem_x509_certificate(certificate.encode()).serial_number:x}"


def make_revocation_list(authority: KeyPair, serials: Iterable[str], *, now: float) -> str:
    """Return the list, as PEM, of the serial numbers that an authority believes no more.

    It is good as long as the authority, for the hub writes a newer one over it at each change, and
    a broker without one lets nobody in.
    """
    issuer = x509.load_pem_x509_certificate(authority.certificate.encode())
    at = begins_at(now)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(at)
        .next_update(issuer.not_valid_after_utc + SKEW)
        .add_extension(x509.CRLNumber(int(now * 1000)), critical=False)
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder(int(serial, 16), at)
        builder = builder.add_revoked_certificate(revoked.build())
    signed = builder.sign(private_key(authority.key), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def list_name(authority: str) -> str:
    """Return the name of the file in which OpenSSL and Erlang look for an authority's list.

    That is the hash of its subject in lower case and with single spaces, the four first bytes of
    SHA-1 from the last to the first. This program's authorities have a common name and no more.
    """
    subject = x509.load_pem_x509_certificate(authority.encode()).subject
    (attribute,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    plain = " ".join(str(attribute.value).lower().split())
    row = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, plain)]).public_bytes()
    # What is hashed is what stands within the outermost sequence.
    header = _SEQUENCE_HEADER_BYTES + (0 if row[1] < _SHORT else row[1] - _SHORT)
    digest = hashlib.sha1(row[header:], usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:_HASH_BYTES], 'little'):08x}.r0"
