"""What a beginning of TLS tells of who stands in the way: a certificate in, a word out."""

import ssl
from dataclasses import replace

import pytest

from fedmq.security.certificates import KeyPair, certify_broker, make_authority
from fedmq.transport.address import Address
from fedmq.transport.inspection import Seen, explain

NOW = 1_800_000_000.0
DAY_S = 86_400.0
TARGET = Address("broker.example.org", 443)
OURS = make_authority("trial authority", now=NOW)
NAMESAKE = make_authority("trial authority", now=NOW)
OTHER = make_authority("Hospital Proxy CA", now=NOW)


def code_of(seen: Seen, authorities: str = OURS.certificate) -> str:
    """Return the code of what stands in the way, empty where nothing does."""
    found = explain(seen, TARGET, authorities, now=NOW)
    return "" if found is None else found.code


def shown(authority: KeyPair, *, host: str = TARGET.host, begins: float = NOW) -> Seen:
    """Return what is seen of a certificate of ten days that TLS does not believe."""
    pair = certify_broker(authority, [host], now=begins, days=10.0)
    certificate = ssl.PEM_cert_to_DER_cert(pair.certificate)
    return Seen(error="certificate verify failed", first_bytes=b"\x16\x03", certificate=certificate)


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (Seen(version="TLSv1.3"), ""),
        (shown(OTHER), "intercepted"),
        (shown(NAMESAKE), "other_authority"),
        (shown(OURS), ""),
        (shown(OURS, host="else.example.org"), "wrong_name"),
        (shown(OURS, begins=NOW - 11 * DAY_S), "certificate_over"),
        (shown(OURS, begins=NOW + DAY_S), "clock_behind"),
        (shown(OTHER, begins=NOW - 11 * DAY_S), "intercepted"),
        (Seen(error="e", first_bytes=b"HTTP/1.1 400 Bad"), "not_tls"),
        (Seen(error="e", first_bytes=b"<!DOCTYPE"), "not_tls"),
        (Seen(error="e", first_bytes=b"AMQP\x00\x00\x09\x01"), "not_tls"),
        (Seen(error="e", first_bytes=b"\x16\x03", certificate=b"\x30\x00"), "not_tls"),
        (Seen(error="reset"), "cut_at_tls"),
    ],
)
def test_who_stands_in_the_way_is_told_apart(seen: Seen, code: str) -> None:
    """One code for each cause; none where TLS failed for a reason that is not to be seen."""
    assert code_of(seen) == code


def test_without_an_authority_of_its_own_a_node_says_that_nobody_vouches() -> None:
    """Those that the system trusts cannot be named; the setting that helps can."""
    found = explain(shown(OTHER), TARGET, "", now=NOW)
    assert found is not None
    assert found.code == "intercepted"
    assert "FEDMQ_BROKER_AUTHORITY" in found.fix


def test_what_a_stranger_writes_into_its_name_stays_one_line() -> None:
    """It goes to terminals and logs."""
    found = explain(
        shown(make_authority("a\x1b[2J\nb" * 8, now=NOW)), TARGET, OURS.certificate, now=NOW
    )
    assert found is not None
    assert str(found).isprintable()
    assert len(str(found)) < 500


def test_a_certificate_that_no_library_reads_is_only_no_certificate() -> None:
    """Who answers chooses its bytes: one of another version, or any other ones."""
    seen = shown(OURS)
    assert seen.certificate is not None
    version = bytes.fromhex("a003020102")
    assert version in seen.certificate
    for other in (seen.certificate.replace(version, version[:-1] + b"\x05"), b"", b"\x30\x00"):
        found = explain(replace(seen, certificate=other), TARGET, OURS.certificate, now=NOW)
        assert found is not None
