"""What a hub's own broker is told of TLS."""

import re
from pathlib import Path

import pytest

from fedmq.hub.configuration import REVOKED, tls_options

FOLDER = Path("/srv/hub/tls")


@pytest.mark.parametrize(
    ("allows_1_2", "versions"), [(False, "['tlsv1.3']"), (True, "['tlsv1.3','tlsv1.2']")]
)
def test_tls_1_3_alone_is_spoken_unless_1_2_was_asked_for(
    *, allows_1_2: bool, versions: str
) -> None:
    """And nothing older in either case."""
    text = tls_options(FOLDER, allows_1_2=allows_1_2)
    assert re.findall(r"\{versions,(.*)\}", text) == [versions]


@pytest.mark.parametrize("allows_1_2", [False, True])
def test_whoever_connects_shows_a_certificate_that_still_counts(*, allows_1_2: bool) -> None:
    """By the older version too: of the hub's authority, looked up in the list at each handshake."""
    text = tls_options(FOLDER, allows_1_2=allows_1_2)
    for option in (
        "{verify,verify_peer}",
        "{fail_if_no_peer_cert,true}",
        "{crl_check,peer}",
        f'[{{dir,"{FOLDER / REVOKED}"}}]',
        f'{{cacertfile,"{FOLDER / "authority.pem"}"}}',
    ):
        assert option in text


def test_a_session_of_tls_1_2_is_not_taken_up_again() -> None:
    """One that is resumed shows no certificate, and so not that it was revoked meanwhile."""
    assert "{reuse_sessions,false}" in tls_options(FOLDER, allows_1_2=True)


def test_a_folder_with_a_quotation_mark_is_still_one_word_of_erlang() -> None:
    """Nothing in a path becomes an option of its own."""
    text = tls_options(Path('/srv/a"b\\c'), allows_1_2=False)
    assert r'{certfile,"/srv/a\"b\\c/certificate.pem"}' in text
