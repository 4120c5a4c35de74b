"""The client of the management API: what it makes of answers that are none."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fedmq.errors import BrokerRefused, BrokerUnavailable
from fedmq.hub.management import Management
from fedmq.hub.ports import choose_ports

WORD = "s3cret"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[Management, list[str]]]:
    """Yield a client of a server that answers everything alike, and what it was asked."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield Management(url=url, user="u", password=WORD), asked
        finally:
            server.shutdown()
            thread.join()


def test_words_of_a_path_are_quoted() -> None:
    """A vhost may be called `/`."""
    with answering(200, b'[{"name": "q"}]') as (management, asked):
        assert management.names("queues", "/") == {"q"}
    assert asked == ["/api/queues/%2F"]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b"", "refuses user u"),
        (404, b"no such queue", "404: no such queue"),
        (200, b"<html>", "is no RabbitMQ management"),
    ],
)
def test_a_refusal_says_what_was_refused(status: int, body: bytes, words: str) -> None:
    """And never the password."""
    with answering(status, body) as (management, _), pytest.raises(BrokerRefused) as caught:
        management.get("overview")
    assert words in str(caught.value)
    assert WORD not in str(caught.value) + repr(management)


def test_where_nobody_answers_the_fix_is_said() -> None:
    """The hub may just be down."""
    url = f"http://127.0.0.1:{choose_ports().management}"
    with pytest.raises(BrokerUnavailable, match="fedmq hub up"):
        Management(url=url, user="u", password=WORD).get("overview")
