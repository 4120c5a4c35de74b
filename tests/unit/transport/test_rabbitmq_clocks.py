"""What is said of certificates that are not good at this hour."""

import ssl
from pathlib import Path

import pytest

from fedmq.security.certificates import DAY_S, certify_broker, make_authority
from fedmq.transport.rabbitmq_clocks import clock_words
from fedmq.transport.rabbitmq_tls import Tls

NOW = 1_924_992_000.0  # 2031-01-01


def verified(tmp_path: Path, begins_at: float) -> str:
    """Return what OpenSSL says of a broker's certificate, without a socket."""
    authority = make_authority("trial", now=min(begins_at, NOW) - DAY_S, days=36_500)
    pair = certify_broker(authority, ["broker.example.org"], now=begins_at, days=2.0)
    for name, text in (
        ("authority.pem", authority.certificate),
        ("certificate.pem", pair.certificate),
        ("key.pem", pair.key),
    ):
        (tmp_path / name).write_text(text)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = Tls(authority=tmp_path / "authority.pem").context()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname="broker.example.org")
    for side in (here, there, here):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(
    ("begins_at", "words"),
    [(4e9, "not good yet"), (1e9, "has ended")],
    ids=["clock behind", "clock ahead"],
)
def test_the_brokers_certificate_and_this_machines_clock(
    tmp_path: Path, begins_at: float, words: str
) -> None:
    """What OpenSSL really says is understood, and the hour is beside it."""
    said = clock_words(verified(tmp_path, begins_at), NOW)
    assert words in said
    assert "2031-01-01 00:00 UTC" in said
    assert len(said) < 300, "longer texts of an end are cut"


def test_other_words_are_left_as_they_are() -> None:
    """Such as those of a name that does not fit."""
    assert clock_words("certificate verify failed: Hostname mismatch", NOW) == ""
    assert "2031" in clock_words("[SSL: X] sslv3 alert certificate expired (_ssl.c:1)", NOW)
