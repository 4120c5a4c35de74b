"""A hospital's HTTP proxy: lets CONNECT through, wants a login, inspects TLS, or is broken.

As a program it lets through, and says where it listens in one line:
python -m tests.support.connect_proxy ADDRESS PORT USER:PASSWORD
"""

import base64
import itertools
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from fedmq.security.certificates import KeyPair, certify_broker

Fault = Callable[[socket.socket], object]


class ConnectProxy:
    """A proxy of a test's own, in threads; where names lead, its own table says."""

    def __init__(
        self,
        *,
        login: str = "",
        targets: Mapping[str, tuple[str, int]] = MappingProxyType({}),
        inspector: KeyPair | None = None,
        folder: Path | None = None,
        fault: Fault | None = None,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.asked: list[str] = []
        """What came: the first line of each request."""
        self.carried = 0
        """How many connections it has let through."""
        self._login = base64.b64encode(login.encode()).decode() if login else ""
        self._targets = targets
        self._inspector = inspector
        self._folder = folder
        self._fault = fault
        self._numbers = itertools.count()
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family)
        host, port = self._listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._serving: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10.0)
        self.drop()
        for thread in self._serving:
            thread.join(10.0)

    def drop(self) -> None:
        """End every connection, as a proxy that is started anew."""
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(line)
            thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
            self._serving.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = line.recv(4096)
                if not piece:
                    return
                head += piece
            text = head.decode()
            self.asked.append(text.splitlines()[0])
            if self._fault is not None:
                self._fault(line)
            elif self._login and f"Proxy-Authorization: Basic {self._login}" not in text:
                line.sendall(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                    b'Proxy-Authenticate: Basic realm="hospital"\r\nContent-Length: 0\r\n\r\n'
                )
            else:
                self._let_through(line, text)

    def _let_through(self, line: socket.socket, text: str) -> None:
        found = re.match(r"CONNECT \[?([^\] ]+?)\]?:(\d+) ", text)
        assert found is not None
        name = found[1]
        try:
            far = socket.create_connection(self._targets.get(name, (name, int(found[2]))))
        except OSError:
            line.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with far:
            self._open.append(far)
            line.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.carried += 1
            with line if self._inspector is None else self._inspect(line, name) as near:
                back = threading.Thread(target=_forward, args=(far, near), daemon=True)
                back.start()
                _forward(near, far)
                back.join()

    def _inspect(self, line: socket.socket, name: str) -> ssl.SSLSocket:
        assert self._folder is not None
        assert self._inspector is not None
        pair = certify_broker(self._inspector, [name], now=time.time(), days=36_500)
        # Files of its own for each line: two lines that begin together would mix theirs.
        number = next(self._numbers)
        certificate, key = (self._folder / f"inspector-{number}.{one}" for one in ("pem", "key"))
        certificate.write_text(pair.certificate)
        key.write_text(pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        spoken = context.wrap_socket(line, server_side=True)
        self._open.append(spoken)
        return spoken


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def main(address: str, port: str, login: str) -> None:
    """Let through until stdin ends."""
    with ConnectProxy(login=login, address=(address, int(port))) as proxy:
        print(proxy.url, flush=True)  # noqa: T201 - its answer
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
