"""A certificate that a stranger presented: what it says of itself, and whether it is believed.

Nothing of it is trusted. Who looks at it wants to name who stands in the way.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

_SHOWN = 60
"""Characters of a stranger's name that are repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """A certificate as it was shown."""

    issuer: str
    """Who is said to have issued it: its common name, else its organisation."""
    names: tuple[str, ...]
    """The hosts and addresses for which it is."""
    begins: float
    ends: float
    """Both in seconds of the Unix clock."""
    is_vouched_for: bool
    """Whether one of the authorities signed it."""
    has_their_name: bool
    """Whether it claims an issuer of the same name as one of the authorities."""


def read_presented(shown: bytes, authorities: str = "") -> Presented | None:
    """Return what a certificate (DER) says, beside the authorities (PEM); None where it is none."""
    try:
        certificate = x509.load_der_x509_certificate(shown)
        known = x509.load_pem_x509_certificates(authorities.encode()) if authorities else []
        return Presented(
            issuer=_name(certificate.issuer),
            names=_hosts(certificate),
            begins=certificate.not_valid_before_utc.timestamp(),
            ends=certificate.not_valid_after_utc.timestamp(),
            is_vouched_for=any(_is_by(certificate, one) for one in known),
            has_their_name=any(certificate.issuer == one.subject for one in known),
        )
    except Exception:  # noqa: BLE001 - whoever answers chose the bytes, and errors are of many kinds
        return None


def names_of(authorities: str) -> tuple[str, ...]:
    """Return the names of authorities (PEM), as those of issuers are written."""
    try:
        return tuple(
            _name(one.subject) for one in x509.load_pem_x509_certificates(authorities.encode())
        )
    except ValueError:
        return ()


def _is_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(name: x509.Name) -> str:
    for kind in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME):
        for one in name.get_attributes_for_oid(kind):
            return _printable(str(one.value))
    return "nobody"


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = [
        *found.get_values_for_type(x509.DNSName),
        *map(str, found.get_values_for_type(x509.IPAddress)),
    ]
    return tuple(_printable(one) for one in hosts[:8])


def _printable(text: str) -> str:
    """Return a stranger's text so that it can be shown on a terminal and in a log."""
    return "".join(one if one.isprintable() else "?" for one in text)[:_SHOWN]
