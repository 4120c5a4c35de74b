"""Tokens, requests and answers, as text that somebody may alter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.keyring import new_identity
from fedmq.security.certificates import certify, expires_at, is_of, make_authority, make_key
from fedmq.security.joining import (
    JoinToken,
    Way,
    make_join_request,
    open_invitation,
    open_password,
    read_token,
    seal_password,
)
from fedmq.types import Role

NOW = 1_800_000_000.0
GOVERNANCE = new_identity("trial", Role.ADMIN)
LYON, PARIS = (new_identity(name, Role.NODE) for name in ("chu-lyon", "ghu-paris"))
TOKEN = JoinToken(
    federation="trial",
    name="chu-lyon",
    role=Role.NODE,
    way=Way(url="amqps://broker.example.org:443/fedmq"),
    governance=GOVERNANCE.public.signing.hex(),
    mailbox=GOVERNANCE.public.sealing.hex(),
    secret="5e" * 32,
    expires_at=NOW,
)


def test_a_token_is_a_word_that_may_be_broken_over_lines() -> None:
    """As mail programs do it; its secret is not in what is printed of it."""
    text = TOKEN.text
    assert read_token(text) == TOKEN
    assert read_token("\n".join([text[:70], text[70:]]) + "\n") == TOKEN
    assert TOKEN.secret not in repr(TOKEN)


@given(st.text() | st.integers(1, 400).map(lambda cut: TOKEN.text[:-cut]))
def test_what_is_no_token_is_a_clear_error(text: str) -> None:
    """Whatever it is, and however much of it is missing."""
    with pytest.raises(ConfigurationError, match="no join token"):
        read_token(text)


def test_a_request_brings_the_secret_for_its_own_keys_alone() -> None:
    """Who saw the request cannot use it for other keys, and the hub alone reads the secret."""
    request = make_join_request(TOKEN, LYON, "a request")
    assert TOKEN.secret not in request.model_dump_json()
    assert open_invitation(request, GOVERNANCE) == TOKEN.secret
    theirs = make_join_request(TOKEN, PARIS, "a request")
    for changes in (
        {"invitation": theirs.invitation},
        {"signing": theirs.signing},
        {"sealing": theirs.sealing},
        {"certificate_request": "another"},
        {"name": "ghu-paris"},
        {"role": Role.RESEARCHER},
        {"signature": theirs.signature},
        {"invitation": theirs.invitation, "signing": theirs.signing},
    ):
        forged = request.model_copy(update=changes)
        with pytest.raises(ProtocolError):
            open_invitation(forged, GOVERNANCE)
    with pytest.raises(ProtocolError):
        open_invitation(request, PARIS)


def test_a_password_is_for_the_new_member_alone() -> None:
    """The broker that carries it has it not."""
    sealed = seal_password("word", LYON.public)
    assert open_password(sealed, LYON) == "word"
    with pytest.raises(ProtocolError):
        open_password(sealed, PARIS)


def test_a_certificate_is_of_its_authority_for_its_key_and_name() -> None:
    """Anything else is not believed."""
    authority, other = (make_authority("trial", now=NOW) for _ in range(2))
    pair = certify(authority, "chu-lyon", now=NOW, days=2.0)
    assert is_of(pair.certificate, pair.key, "chu-lyon", authority.certificate)
    assert expires_at(pair.certificate) == pytest.approx(NOW + 2 * 86_400, abs=1)
    for key, name, voucher in (
        (make_key(), "chu-lyon", authority),
        (pair.key, "ghu-paris", authority),
        (pair.key, "chu-lyon", other),
    ):
        assert not is_of(pair.certificate, key, name, voucher.certificate)
    assert not is_of("nonsense", pair.key, "chu-lyon", authority.certificate)
