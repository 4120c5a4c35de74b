"""Addresses of brokers, and in which order they are tried."""

import socket
import threading
import time
from dataclasses import replace

import pytest

from fedmq.errors import ConfigurationError
from fedmq.hub.ports import choose_ports
from fedmq.transport.ports import TransportEvent
from fedmq.transport.rabbitmq import RabbitTransport, make_login

PATIENCE_S = 30.0
USER = "chu-lyon"


@pytest.mark.parametrize(
    ("url", "addresses", "vhost"),
    [
        ("amqps://hub.example:443/fedmq", [("hub.example", 443)], "fedmq"),
        ("amqps://hub.example", [("hub.example", 5671)], "/"),
        ("amqp://localhost", [("localhost", 5672)], "/"),
        ("amqps://hub.example/a%2Fb?heartbeat=9", [("hub.example", 5671)], "a/b"),
        ("amqps://user:word@hub.example/fedmq", [("hub.example", 5671)], "fedmq"),
        ("amqps://[::1]:5673,[::2]/fedmq", [("::1", 5673), ("::2", 5671)], "fedmq"),
        (
            "amqps://one:1,two:2,three/fedmq",
            [("one", 1), ("two", 2), ("three", 5671)],
            "fedmq",
        ),
    ],
)
def test_an_address_names_a_broker_or_the_nodes_of_a_cluster(
    url: str, addresses: list[tuple[str, int]], vhost: str
) -> None:
    """In the order in which they are written; the port may be left out."""
    login = make_login(url, user=USER, password=USER)
    assert (list(login.addresses), login.vhost) == (addresses, vhost)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub:5672",
        "http://hub/fedmq",
        "amqp://hub/fedmq",
        "amqp://127.0.0.1,hub/fedmq",
        "amqps:///fedmq",
        "amqps://one,,two/fedmq",
        "amqps://one:x/fedmq",
        "amqps://one:70000/fedmq",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    """With the form that it ought to have."""
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        make_login(url, user=USER, password=USER)
    assert "amqps://HOST:PORT/VHOST" in str(caught.value.fix)


def test_addresses_are_tried_in_turn_and_then_from_the_first_again() -> None:
    """Each of them drops the connection; the one where nobody listens holds nobody up."""
    told: list[TransportEvent] = []
    asked: list[int] = []
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener, port in zip(listeners, ports, strict=True):
        threading.Thread(target=_drop, args=(listener, port, asked), daemon=True).start()
    first, second, nobody = *ports, choose_ports().amqp
    login = make_login(
        f"amqp://127.0.0.1:{first},127.0.0.1:{nobody},127.0.0.1:{second}/fedmq",
        user=USER,
        password=USER,
    )
    transport = RabbitTransport(replace(login, reconnect_s=0.05), told.append)
    transport.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(told) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        transport.close()
        for listener in listeners:
            listener.close()
    turns = [port for port, before in zip(asked, [0, *asked], strict=False) if port != before]
    assert turns[:4] == [first, second, first, second]


def _drop(listener: socket.socket, port: int, asked: list[int]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        asked.append(port)
        connection.close()
