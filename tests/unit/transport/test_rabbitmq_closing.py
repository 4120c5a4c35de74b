"""A transport that is closed while it is still opening, wherever it has got to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from fedmq.transport.address import Address
from fedmq.transport.proxy import Proxy
from fedmq.transport.rabbitmq import RabbitTransport, make_login
from fedmq.transport.rabbitmq_tls import Tls

PATIENCE_S = 8.0
OPENED = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Return one that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE_S)
        yield server


@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize("said", [None, b"", OPENED])
def test_it_lets_go_of_its_sockets_and_waits_for_nobody(
    listener: socket.socket, said: bytes | None, *, has_tls: bool
) -> None:
    """The broker is silent at AMQP or at TLS; or the proxy is, or opens a way to one that is."""
    here = Address(*listener.getsockname())
    login = make_login(f"amqp://127.0.0.1:{here.port}/fedmq", user="chu-lyon", password="word")  # noqa: S106
    proxy = None if said is None else Proxy(address=here)
    told: list[object] = []
    way = replace(login, proxy=proxy, tls=Tls(authority=None) if has_tls else None)
    with ExitStack() as lines:
        transport = RabbitTransport(way, told.append)
        transport.start()
        both = [lines.enter_context(listener.accept()[0]) for _ in range(2)]
        for line in both:
            line.settimeout(PATIENCE_S)
            if said != b"" or has_tls:
                assert line.recv(65_536)
            if said:
                line.sendall(said)
                assert line.recv(65_536)
        closing = threading.Thread(target=transport.close)
        closing.start()
        for line in both:
            while line.recv(65_536):
                pass
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
    assert told == []
