"""What is said to a proxy, and what its answers mean: bytes in, a decision out."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.errors import ConfigurationError, WayBlocked
from fedmq.transport.address import Address
from fedmq.transport.proxy import (
    Proxy,
    ask_for,
    date_of,
    is_open,
    read_proxy,
)

TARGET = Address("broker.example.org", 443)
PLAIN = Proxy(address=Address("proxy.hospital", 3128))
KNOWN = Proxy(address=Address("proxy.hospital", 3128), user="op", password="s3cret")  # noqa: S106
OPEN = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.hospital:3128", ("proxy.hospital", 3128, "", "")),
        ("http://op:a%40b@proxy.hospital:3128/", ("proxy.hospital", 3128, "op", "a@b")),
        ("http://[fd00::1]:8080", ("fd00::1", 8080, "", "")),
    ],
)
def test_an_address_names_a_proxy(url: str, expected: tuple[str, int, str, str]) -> None:
    """With the login, whose signs are written with per cent where they have to be."""
    found = read_proxy(url)
    assert (*found.address, found.user, found.password) == expected
    assert "a@b" not in repr(found)
    assert read_proxy(found.url) == found


def test_a_password_beside_the_address_counts() -> None:
    """It comes from a file."""
    assert read_proxy("http://op:old@proxy:1", "new").password == "new"  # noqa: S105


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy:3128",
        "https://op:s3cret@proxy:3128",
        "socks5://proxy:3128",
        "http://proxy",
        "http://op:s3cret@proxy",
        "http://:3128",
        "http://op:s3cret@proxy:70000",
        "http://:s3cret@proxy:3128",
        "http://op%0d%0aX:s3cret@proxy:3128",
        "http://proxy:3128/way?x",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    """It may hold the password."""
    with pytest.raises(ConfigurationError, match="FEDMQ_PROXY") as caught:
        read_proxy(url)
    assert "s3cret" not in str(caught.value)


def test_the_name_is_the_proxys_to_resolve_and_the_login_is_basic() -> None:
    """Exactly these lines."""
    assert ask_for(TARGET, PLAIN) == (
        b"CONNECT broker.example.org:443 HTTP/1.1\r\nHost: broker.example.org:443\r\n\r\n"
    )
    assert ask_for(Address("fd00::1", 443), PLAIN).startswith(b"CONNECT [fd00::1]:443 HTTP/1.1")
    login = base64.b64encode(b"op:s3cret")
    assert b"\r\nProxy-Authorization: Basic " + login + b"\r\n\r\n" in ask_for(TARGET, KNOWN)


def test_the_way_is_open_once_the_answer_has_ended() -> None:
    """Cut anywhere, it has not; nothing is taken for an answer too early."""
    assert is_open(OPEN, TARGET, PLAIN)
    assert is_open(b"HTTP/1.0 200\n\n", TARGET, PLAIN)
    assert not any(is_open(OPEN[:cut], TARGET, PLAIN) for cut in range(len(OPEN)))


@pytest.mark.parametrize(
    ("answer", "proxy", "code", "words"),
    [
        (b"HTTP/1.1 407 Auth\r\n\r\n", PLAIN, "proxy_wants_login", "FEDMQ_PROXY_PASSWORD_FILE"),
        (b"HTTP/1.1 407 Auth\r\n\r\n", KNOWN, "proxy_login_refused", "user op"),
        (
            b"HTTP/1.1 407 A\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate\r\n\r\n",
            KNOWN,
            "proxy_login_unknown",
            "Negotiate or Ntlm",
        ),
        (b"HTTP/1.1 403 No\x1b[2J\r\n\r\n", PLAIN, "proxy_refuses", "allow CONNECT to broker.ex"),
        (b"HTTP/1.1 302 Portal\r\n\r\n", PLAIN, "proxy_refuses", "302 Portal"),
        (b"HTTP/1.1 502 Bad\r\n\r\n", PLAIN, "proxy_finds_nobody", "whether the proxy resolves"),
        (b"HTTP/1.1 503 Bad\r\n\r\n", PLAIN, "proxy_finds_nobody", "broker is up"),
        (b"SSH-2.0-OpenSSH\r\n", PLAIN, "proxy_is_none", "no HTTP proxy"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", PLAIN, "proxy_is_none", "no HTTP proxy"),
        (OPEN + b"<html>", PLAIN, "proxy_is_none", "goes on talking"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000, PLAIN, "proxy_is_none", "no end within"),
    ],
)
def test_every_no_is_named_with_whom_to_ask(
    answer: bytes, proxy: Proxy, code: str, words: str
) -> None:
    """A code for programs; for people what, why and the fix, and no password."""
    with pytest.raises(WayBlocked) as caught:
        is_open(answer, TARGET, proxy)
    said = str(caught.value)
    assert (caught.value.code, words in said) == (code, True), said
    assert "s3cret" not in said
    assert said.isprintable()


@given(st.binary(max_size=200), st.booleans())
def test_whatever_a_proxy_says_is_no_way_unless_it_says_so(noise: bytes, has_head: bool) -> None:  # noqa: FBT001
    """Hostile bytes end in a word of it or in patience, and never in an open way."""
    answer = (b"HTTP/1.1 4" if has_head else b"") + noise
    with suppress(WayBlocked):
        assert not is_open(answer, TARGET, PLAIN) or answer.startswith(b"HTTP/1.")


def test_a_proxy_tells_the_hour_if_it_wants() -> None:
    """Its Date; whatever else stands there tells nothing."""
    head = b"HTTP/1.1 200 OK\r\nDate: Fri, 15 Jan 2027 08:00:00 GMT\r\n\r\n"
    assert date_of(head) == 1_800_000_000.0
    assert date_of(b"HTTP/1.1 200 OK\r\nDate: yesterday\r\n\r\n") is None
    assert date_of(OPEN) is None
