"""One member of the raw broker: moves chunks with pika alone; nothing of fedmq is imported.

It publishes on one connection and reads on another, both on one loop: persistent, mandatory,
confirmed in a window. The hub sends a model once to all sites and waits for an update of each; a
site answers a whole model with an update. What is in a chunk means nothing.
"""

import json
import os
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pika
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.adapters.utils import io_services_utils
from pika.channel import Channel
from pika.credentials import ExternalCredentials
from pika.spec import Basic, BasicProperties

_PERSISTENT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where the broker is, and who comes."""

    host: str
    port: int
    vhost: str
    user: str
    password: str
    authority: str
    """PEM file of who vouches for the broker; empty: no TLS."""
    certificate: str
    key: str
    heartbeat_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much travels, and in which pieces."""

    payload_bytes: int
    chunk_bytes: int
    window: int
    """Chunks without the broker's word."""
    receive_bytes: int
    """So much is read of the socket at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Who it is, where it reads and writes, and when it has read enough."""

    login: Login
    sizes: Sizes
    exchange: str
    keys: list[str]
    """Routing keys of what it sends; all but the first go as BCC."""
    queue: str
    arguments: dict[str, str | bool]
    """Of its queue."""
    bindings: list[list[str]]
    """Exchange and key; empty where the queue is there already."""
    prefetch: int
    num_senders: int
    """It has read enough when it has so many payloads."""
    num_rounds: int
    """Rounds that it begins; 0: it answers for ever."""


def read_member(text: str) -> Member:
    """Return the member that is written as JSON."""
    found = json.loads(text)
    login, sizes = Login(**found.pop("login")), Sizes(**found.pop("sizes"))
    return Member(login=login, sizes=sizes, **found)


class Mover:
    """A member at work."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._loop = IOLoop()
        whole, rest = divmod(member.sizes.payload_bytes, member.sizes.chunk_bytes)
        data = os.urandom(member.sizes.chunk_bytes)
        self._chunks = [data] * whole + ([data[:rest]] if rest else [])
        self._left: deque[bytes] = deque()
        self._num_sent = 0
        self._open: set[int] = set()
        """Delivery tags without the broker's word."""
        self._num_received = 0
        self._began = 0.0
        self._not_ready = 2
        self._writing: Channel | None = None
        self.round_s: list[float] = []
        first, *others = member.keys
        headers: dict[str, Any] = {"BCC": others}
        self._key = first
        self._properties = BasicProperties(
            delivery_mode=_PERSISTENT,
            user_id=member.login.user,
            headers=headers if others else None,
        )

    def run(self) -> None:
        """Return once the rounds are done."""
        self._connect(self._begin_writing)
        self._connect(self._begin_reading)
        self._loop.start()

    def _connect(self, on_channel: Callable[[Channel], None]) -> None:
        def opened(connection: SelectConnection) -> None:
            connection.channel(on_open_callback=on_channel)

        SelectConnection(
            _parameters(self._member.login),
            on_open_callback=opened,
            on_open_error_callback=_die,
            on_close_callback=_die,
            custom_ioloop=self._loop,
        )

    def _begin_writing(self, channel: Channel) -> None:
        self._writing = channel
        channel.add_on_return_callback(lambda *_: sys.exit("a chunk was returned"))
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._ready())

    def _begin_reading(self, channel: Channel) -> None:
        member = self._member
        channel.basic_qos(prefetch_count=member.prefetch)
        if member.bindings:
            channel.queue_declare(member.queue, durable=True, arguments=member.arguments)
        for exchange, key in member.bindings:
            channel.queue_bind(member.queue, exchange, routing_key=key)
        channel.basic_consume(member.queue, self._on_chunk, callback=lambda _frame: self._ready())

    def _ready(self) -> None:
        self._not_ready -= 1
        if self._not_ready == 0 and self._member.num_rounds:
            self._begin_round()

    def _begin_round(self) -> None:
        self._began = time.perf_counter()
        self._send()

    def _send(self) -> None:
        self._left = deque(self._chunks)
        self._pump()

    def _pump(self) -> None:
        while (
            self._left and len(self._open) < self._member.sizes.window and self._writing is not None
        ):
            self._num_sent += 1
            self._open.add(self._num_sent)
            self._writing.basic_publish(
                self._member.exchange,
                self._key,
                self._left.popleft(),
                self._properties,
                mandatory=True,
            )

    def _on_confirm(self, frame: Any) -> None:  # noqa: ANN401 - pika's frames are untyped
        if isinstance(frame.method, Basic.Nack):
            sys.exit("the broker refused a chunk")
        tag = frame.method.delivery_tag
        if frame.method.multiple:
            self._open = {one for one in self._open if one > tag}
        else:
            self._open.discard(tag)
        self._pump()

    def _on_chunk(
        self, channel: Channel, method: Basic.Deliver, _properties: BasicProperties, _body: bytes
    ) -> None:
        channel.basic_ack(method.delivery_tag or 0)
        self._num_received += 1
        if self._num_received < self._member.num_senders * len(self._chunks):
            return
        self._num_received = 0
        if not self._member.num_rounds:
            self._send()
            return
        self.round_s.append(time.perf_counter() - self._began)
        if len(self.round_s) < self._member.num_rounds:
            self._begin_round()
        else:
            self._loop.stop()


def _parameters(login: Login) -> pika.ConnectionParameters:
    tls = None
    credentials: pika.PlainCredentials | ExternalCredentials
    credentials = pika.PlainCredentials(login.user, login.password)
    if login.authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cafile=login.authority)
        context.load_cert_chain(login.certificate, login.key)
        tls = pika.SSLOptions(context, server_hostname=login.host)
        credentials = ExternalCredentials()
    return pika.ConnectionParameters(
        host=login.host,
        port=login.port,
        virtual_host=login.vhost,
        credentials=credentials,
        ssl_options=tls,
        heartbeat=login.heartbeat_s,
    )


def _die(_connection: SelectConnection, reason: BaseException) -> None:
    sys.exit(f"a connection ended: {reason!r}")


def main() -> None:
    """Move chunks; the hub prints the seconds of its rounds."""
    member = read_member(sys.argv[1])
    stream: Any = getattr(io_services_utils, "_AsyncTransportBase", None)
    if stream is not None and hasattr(stream, "_MAX_RECV_BYTES"):
        stream._MAX_RECV_BYTES = member.sizes.receive_bytes  # noqa: SLF001 - guarded above
    mover = Mover(member)
    mover.run()
    print(json.dumps({"round_s": mover.round_s}))


if __name__ == "__main__":
    main()
