"""A look at who answers at the broker's address: a connection of its own, on which nothing is said.

TLS is begun, once so that only the broker is believed, and where that fails once more so that
anybody is: then the certificate can be read, and who stands in the way be named.
"""

import socket
import ssl
import time
from dataclasses import replace
from typing import Final

from fedmq.errors import BrokerUnavailable, FedmqError, WayBlocked
from fedmq.transport.address import Address
from fedmq.transport.inspection import Seen, explain
from fedmq.transport.proxy import Proxy, ask_for, is_open, nobody_there, says_nothing, went_away
from fedmq.transport.rabbitmq_tls import Tls

TIMEOUT_S: Final = 10.0
_VERDICT_S: Final = 2.0
"""So long a broker's word against a certificate is waited for; one that has none says nothing."""
_PIECE: Final = 4096
_MAX_BYTES: Final = 65_536
"""No beginning of TLS is larger."""
_FIRST: Final = 64


def open_way(
    target: Address, proxy: Proxy | None, *, timeout_s: float = TIMEOUT_S
) -> tuple[socket.socket, bytes]:
    """Return a connection to the target, through the proxy if there is one, and what that said.

    Raises:
        WayBlocked: the proxy is not there or says no.
        BrokerUnavailable: nobody answers.
    """
    deadline = time.monotonic() + timeout_s
    first = target if proxy is None else proxy.address
    try:
        line = socket.create_connection(first, timeout=timeout_s)
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        is_refused = isinstance(error, ConnectionRefusedError)
        raise (
            nobody_there(proxy, why) if proxy else _nobody(target, why, is_refused=is_refused)
        ) from error
    try:
        return line, b"" if proxy is None else _pass(line, target, proxy, deadline)
    except BaseException:
        line.close()
        raise


def look(target: Address, tls: Tls, proxy: Proxy | None, *, timeout_s: float = TIMEOUT_S) -> Seen:
    """Return who answers at the target, believed or not.

    Raises:
        WayBlocked: the proxy is not there or says no.
        BrokerUnavailable: nobody answers.
        ConfigurationError: the files of certificates are missing or are none.
    """
    seen = _begin(target, tls.context(), proxy, timeout_s)
    if not seen.error:
        return seen
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    again = _begin(target, anybody, proxy, timeout_s)
    return replace(again, error=seen.error, first_bytes=seen.first_bytes or again.first_bytes)


def find_obstacle(
    target: Address, tls: Tls, proxy: Proxy | None, *, timeout_s: float = TIMEOUT_S
) -> WayBlocked | None:
    """Return what stands between this machine and the broker, by name; None: nothing is found."""
    try:
        seen = look(target, tls, proxy, timeout_s=timeout_s)
    except WayBlocked as blocked:
        return blocked
    except BrokerUnavailable:
        return None
    return explain(seen, target, tls.authorities(), now=time.time())


def hear_refusal(
    target: Address, tls: Tls, proxy: Proxy | None, *, timeout_s: float = TIMEOUT_S
) -> str:
    """Return what a broker has against this login's certificate, in TLS's words; empty: nothing.

    In TLS 1.3 the broker looks at it when for this side all is done. Whoever goes on at once, as
    AMQP does, may find the line cut and the broker's last word thrown away by it. So here nothing
    is said, and its word is waited for.
    """
    try:
        line, _ = open_way(target, proxy, timeout_s=timeout_s)
        with line, tls.context().wrap_socket(line, server_hostname=target.host) as talk:
            talk.settimeout(_VERDICT_S)
            talk.recv(1)
    except ssl.SSLError as error:
        return str(error)
    except (OSError, FedmqError):
        return ""
    return ""


def _begin(target: Address, context: ssl.SSLContext, proxy: Proxy | None, timeout_s: float) -> Seen:
    line, _ = open_way(target, proxy, timeout_s=timeout_s)
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = context.wrap_bio(coming, going, server_hostname=target.host)
    deadline = time.monotonic() + timeout_s
    first, count = b"", 0
    with line:
        while True:
            try:
                talk.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLError, ssl.CertificateError) as error:
                return Seen(error=_words(error), first_bytes=first)
            else:
                return Seen(
                    first_bytes=first,
                    certificate=talk.getpeercert(binary_form=True),
                    version=talk.version() or "",
                )
            try:
                line.settimeout(max(0.01, deadline - time.monotonic()))
                line.sendall(going.read())
                piece = line.recv(_PIECE)
            except OSError as error:
                return Seen(error=error.strerror or "no answer in time", first_bytes=first)
            count += len(piece)
            if not piece or count > _MAX_BYTES or time.monotonic() > deadline:
                return Seen(error="the far end closed the connection", first_bytes=first)
            first = (first + piece)[:_FIRST]
            coming.write(piece)


def _pass(line: socket.socket, target: Address, proxy: Proxy, deadline: float) -> bytes:
    answer = b""
    try:
        line.sendall(ask_for(target, proxy))
        while not is_open(answer, target, proxy):
            line.settimeout(max(0.01, deadline - time.monotonic()))
            piece = line.recv(_PIECE)
            if not piece:
                raise went_away(proxy)
            answer += piece
    except TimeoutError as error:
        raise says_nothing(target, proxy) from error
    except OSError as error:
        raise went_away(proxy) from error
    return answer


def _nobody(target: Address, why: str, *, is_refused: bool) -> BrokerUnavailable:
    allow = f"the network team to allow TCP from this machine to {target}, outbound"
    if is_refused:  # as a machine does that is reached and where nothing listens; some walls do too
        fix = f"ask the hub's operator whether the broker is up (fedmq hub status); if so, {allow}"
    else:
        fix = f"ask {allow}; where there is a proxy, set FEDMQ_PROXY"
    return BrokerUnavailable(f"nobody answers at {target}", why=why, fix=fix)


def _words(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or error.reason or "TLS failed"
