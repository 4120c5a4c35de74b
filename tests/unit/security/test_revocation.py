"""The list of certificates that count no more, as others read it."""

import pytest
from cryptography import x509

from fedmq.security.certificates import certify, make_authority
from fedmq.security.revocation import list_name, make_revocation_list, serial_of

NOW = 1_800_000_000.0
AUTHORITY = make_authority("trial authority", now=NOW)


def test_it_is_signed_and_names_the_serial_numbers() -> None:
    """For as long as the authority itself is good."""
    gone, kept = (certify(AUTHORITY, name, now=NOW).certificate for name in ("gone", "kept"))
    text = make_revocation_list(AUTHORITY, [serial_of(gone)], now=NOW)
    made = x509.load_pem_x509_crl(text.encode())
    authority = x509.load_pem_x509_certificate(AUTHORITY.certificate.encode())
    assert made.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    assert made.get_revoked_certificate_by_serial_number(int(serial_of(gone), 16)) is not None
    assert made.get_revoked_certificate_by_serial_number(int(serial_of(kept), 16)) is None
    assert made.next_update_utc is not None
    assert made.next_update_utc > authority.not_valid_after_utc


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("trial authority", "e5affdcc"),
        ("The  Trial   Authority ", "53e990a7"),
        ("trial-é", "b7eac7a0"),
        ("x" * 60, "88846ca1"),
    ],
)
def test_its_name_is_the_one_that_others_look_for(name: str, hashed: str) -> None:
    """As `openssl crl -hash` said it, OpenSSL 3.0."""
    assert list_name(make_authority(name, now=NOW).certificate) == f"{hashed}.r0"
