"""A small client of RabbitMQ's management API: what the hub and the watchers ask of it."""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast

from fedmq.errors import BrokerRefused, BrokerUnavailable, TransportError
from fedmq.transport.address import Address
from fedmq.transport.proxy import Proxy

_TIMEOUT_S: Final = 10.0
_WEB: Final = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """One login at one management address, such as http://127.0.0.1:15672."""

    url: str
    user: str
    password: str = field(repr=False)
    proxy: Proxy | None = field(default=None, repr=False)
    """Of this machine's network; to an address of this machine there is none."""

    def get(self, *path: str) -> object:
        """Return what the API says of `path`, whose words are quoted here."""
        return self._ask("GET", path, None)

    def names(self, *path: str) -> set[str]:
        """Return the names of what `path` lists: users, queues."""
        entries = cast("list[dict[str, object]]", self.get(*path))
        return {str(entry["name"]) for entry in entries}

    def password_hashes(self) -> dict[str, str]:
        """Return the hash of each user's password; empty where a user has none."""
        users = cast("list[dict[str, object]]", self.get("users"))
        return {str(user["name"]): str(user.get("password_hash", "")) for user in users}

    def put(self, *path: str, content: object) -> None:
        """Make or change what `path` names."""
        self._ask("PUT", path, content)

    def post(self, *path: str, content: object) -> object:
        """Return the answer to `content`."""
        return self._ask("POST", path, content)

    def delete(self, *path: str) -> None:
        """Delete what `path` names."""
        self._ask("DELETE", path, None)

    def publish(self, vhost: str, queue: str, body: bytes) -> bool:
        """Put a small message in a queue, which the broker writes to its disk.

        Return whether there is such a queue.
        """
        content = {
            "properties": {"delivery_mode": 2, "content_type": "application/json"},
            "routing_key": queue,
            "payload": base64.b64encode(body).decode(),
            "payload_encoding": "base64",
        }
        said = self.post("exchanges", vhost, "amq.default", "publish", content=content)
        return bool(cast("dict[str, object]", said)["routed"])

    def look(self, vhost: str, queue: str, *, max_bytes: int) -> tuple[str, bytes] | None:
        """Return the first message of a queue with the user who sent it, and leave it there.

        The user is empty where it is unknown; a larger message is cut off.
        """
        content = {
            "count": 1,
            "ackmode": "ack_requeue_true",
            "encoding": "base64",
            "truncate": max_bytes,
        }
        got = self.post("queues", vhost, queue, "get", content=content)
        messages = cast("list[dict[str, Any]]", got)
        if not messages:
            return None
        user = str(messages[0]["properties"].get("user_id", ""))
        return user, base64.b64decode(messages[0]["payload"])

    def _ask(self, method: str, path: tuple[str, ...], content: object) -> object:
        address = "/".join([self.url, "api", *(urllib.parse.quote(word, safe="") for word in path)])
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is of the hub's own settings
            address,
            method=method,
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"Basic {login}", "Content-Type": "application/json"},
        )
        try:
            with self._opener().open(request, timeout=_TIMEOUT_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise self._refusal(error, method, path) from error
        except (OSError, http.client.HTTPException) as error:
            raise BrokerUnavailable(
                f"the broker's management does not answer at {self.url}",
                why=str(getattr(error, "reason", error)),
                fix="start it with: fedmq hub up",
            ) from error
        try:
            return json.loads(text) if text else None
        except ValueError as error:
            raise BrokerRefused(
                f"what answers at {self.url} is no RabbitMQ management",
                why="its answer is no JSON",
                fix="check the address; the management plugin's port is often 15672",
            ) from error

    def _opener(self) -> urllib.request.OpenerDirector:
        """Return what opens addresses: by the proxy that was named, never by http_proxy."""
        parts = urllib.parse.urlsplit(self.url)
        is_local = Address(parts.hostname or "", 0).is_this_machine
        proxies = {} if self.proxy is None or is_local else dict.fromkeys(_WEB, self.proxy.url)
        return urllib.request.build_opener(urllib.request.ProxyHandler(proxies))

    def _refusal(
        self, error: urllib.error.HTTPError, method: str, path: tuple[str, ...]
    ) -> TransportError:
        with error:
            reason = error.read().decode(errors="replace")[:200]
        if error.code == HTTPStatus.UNAUTHORIZED:
            return BrokerRefused(
                f"the broker's management refuses user {self.user}",
                why="the password is wrong, or the user may not do this",
                fix="use the credentials that the hub wrote",
            )
        return BrokerRefused(
            f"the broker's management refuses {method} {'/'.join(path)}",
            why=f"{error.code}: {reason}",
        )
