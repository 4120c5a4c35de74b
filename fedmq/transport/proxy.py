"""The conversation with an HTTP proxy that lets one connection through (CONNECT, RFC 9110). Pure.

Bytes in, a decision out. What a proxy says is not believed further than needed, and not read
without an end.
"""

import base64
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from fedmq.errors import ConfigurationError, WayBlocked
from fedmq.transport.address import Address

MAX_ANSWER_BYTES: Final = 16_384
_END: Final = re.compile(rb"\r?\n\r?\n")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")
_BROKEN_TOKENS: Final = re.compile(r"[^\x20-\x7e]+")
_SHOWN: Final = 80
"""Characters of a proxy's words that are repeated."""
_AWAY: Final = {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A hospital's proxy, with the login that it wants."""

    address: Address
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Its address with the login, for libraries that want one; not to be shown."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        return f"http://{login}{self.address}"


def read_proxy(url: str, password: str = "") -> Proxy:
    """Return the proxy of an address such as http://USER:PASSWORD@proxy.hospital:3128.

    A password that is given beside counts.

    Raises:
        ConfigurationError: the address is none. It is not repeated: it may hold the password.
    """
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise _unusable("its port is no number up to 65535") from error
    if parts.scheme != "http":
        raise _unusable(f"it begins with {parts.scheme or 'nothing'}://, not with http://")
    if not parts.hostname or port is None:
        raise _unusable("it does not name a host and a port")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise _unusable("something stands after the port")
    user = unquote(parts.username or "")
    word = password or unquote(parts.password or "")
    if ":" in user or any(ord(one) < ord(" ") for one in user + word):
        raise _unusable("its user or password has characters that cannot be sent")
    if word and not user:
        raise _unusable("there is a password, and no user")
    return Proxy(address=Address(parts.hostname, port), user=user, password=word)


def ask_for(target: Address, proxy: Proxy) -> bytes:
    """Return what is said to the proxy, so that it opens a way to the target.

    The name goes as it is: a machine that resolves no outside names needs to resolve none.
    """
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user:
        login = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    return "\r\n".join([*lines, "", ""]).encode()


def is_open(answer: bytes, target: Address, proxy: Proxy) -> bool:
    """Return whether the proxy has opened the way; False: its answer has not ended yet.

    Raises:
        WayBlocked: it says no, or what it says is no answer; why, and whom to ask.
    """
    end = _END.search(answer)
    if end is None:
        if len(answer) > MAX_ANSWER_BYTES:
            raise _nonsense(proxy, f"its answer has no end within {MAX_ANSWER_BYTES} bytes")
        if not b"HTTP/1.".startswith(answer[:7]):
            raise _nonsense(proxy, "what answers is no HTTP proxy")
        return False
    status = _STATUS.match(answer)
    if status is None:
        raise _nonsense(proxy, "what answers is no HTTP proxy")
    if not status[1].startswith(b"2"):
        raise _refusal(int(status[1]), _words(status[2] or b""), answer[: end.end()], target, proxy)
    # Neither TLS nor AMQP lets the far end speak first.
    if len(answer) > end.end():
        raise _nonsense(proxy, "it goes on talking where the broker's connection begins")
    return True


def nobody_there(proxy: Proxy, why: str) -> WayBlocked:
    """Return what it means that the proxy itself cannot be reached."""
    return WayBlocked(
        "proxy_unreachable",
        f"there is no proxy at {proxy.address}",
        why=why,
        fix="look at FEDMQ_PROXY; ask the network team for the proxy's name and port",
    )


def went_away(proxy: Proxy) -> WayBlocked:
    """Return what it means that the proxy hangs up without an answer."""
    return _nonsense(proxy, "it closed the connection without an answer")


def says_nothing(target: Address, proxy: Proxy) -> WayBlocked:
    """Return what it means that no answer comes in time."""
    return WayBlocked(
        "proxy_silent",
        f"the proxy {proxy.address} does not answer",
        why=f"it was asked for {target}",
        fix=f"ask the network team whether the proxy reaches {target}",
    )


def date_of(answer: bytes) -> float | None:
    """Return the hour that the proxy's clock shows, as Unix seconds; None where it does not say."""
    said = re.search(rb"(?im)^date:[ \t]*([^\r\n]{1,64})", answer[:MAX_ANSWER_BYTES])
    if said is None:
        return None
    try:
        return parsedate_to_datetime(said[1].decode("ascii", "replace")).timestamp()
    except (ValueError, OverflowError):
        return None


def _refusal(code: int, words: str, head: bytes, target: Address, proxy: Proxy) -> WayBlocked:
    said = f"it answered {code} {words}".rstrip()
    if code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return _login_refused(said, head, proxy)
    if code in _AWAY:
        return WayBlocked(
            "proxy_finds_nobody",
            f"the proxy {proxy.address} does not reach {target}",
            why=said,
            fix=f"ask the network team whether the proxy resolves and reaches {target}; the hub's "
            "operator whether the broker is up",
        )
    return WayBlocked(
        "proxy_refuses",
        f"the proxy {proxy.address} does not let through to {target}",
        why=said,
        fix=f"ask the network team to allow CONNECT to {target} for this machine",
    )


def _login_refused(said: str, head: bytes, proxy: Proxy) -> WayBlocked:
    offered = re.findall(rb"(?im)^proxy-authenticate:[ \t]*([A-Za-z-]{1,20})", head)
    schemes = sorted({one.decode().capitalize() for one in offered})
    if schemes and "Basic" not in schemes:
        return WayBlocked(
            "proxy_login_unknown",
            f"the proxy {proxy.address} wants a login of a kind that fedmq does not speak",
            why=f"it wants {' or '.join(schemes)}; fedmq speaks Basic",
            fix="ask the network team to let this machine through without a login, or with Basic",
        )
    if proxy.user:
        return WayBlocked(
            "proxy_login_refused",
            f"the proxy {proxy.address} refuses user {proxy.user} or its password",
            why=said,
            fix="look at FEDMQ_PROXY and FEDMQ_PROXY_PASSWORD_FILE, or ask the network team",
        )
    return WayBlocked(
        "proxy_wants_login",
        f"the proxy {proxy.address} wants a user and a password",
        why=said,
        fix="put the user into FEDMQ_PROXY, http://USER@HOST:PORT, and let "
        "FEDMQ_PROXY_PASSWORD_FILE name a file with the password",
    )


def _nonsense(proxy: Proxy, why: str) -> WayBlocked:
    return WayBlocked(
        "proxy_is_none",
        f"what answers at {proxy.address} does not behave like a proxy",
        why=why,
        fix="look at FEDMQ_PROXY; ask the network team for the proxy's name and port",
    )


def _words(said: bytes) -> str:
    return _BROKEN_TOKENS.sub("?", said.decode("latin-1"))[:_SHOWN].strip()


def _unusable(why: str) -> ConfigurationError:
    return ConfigurationError(
        "the proxy in FEDMQ_PROXY cannot be used",
        why=why,
        fix="write it as http://HOST:PORT or http://USER@HOST:PORT, with the password in the file "
        "that FEDMQ_PROXY_PASSWORD_FILE names",
    )
