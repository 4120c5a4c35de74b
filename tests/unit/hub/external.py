"""A broker of others, as far as its management answers."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer


@contextmanager
def a_broker(hashes: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a management with these users, and the changes it was asked for."""
    changes: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            users = [{"name": name, "password_hash": one} for name, one in hashes.items()]
            content: object = users if self.path == "/api/users" else {"node": "rabbit@hub"}
            content = [] if self.path.startswith(("/api/queues", "/api/exchanges")) else content
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def do_POST(self) -> None:
            changes.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", changes
        finally:
            server.shutdown()
            thread.join()
