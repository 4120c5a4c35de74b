"""pika's connection, mended: it can be closed at any time, and copies less of what it moves.

What is replaced is private to pika. Where a version of pika has other names than the one that this
was written for, its own ways are used: slower, and the same in all else.
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any, Final

from pika import frame
from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils import io_services_utils
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowAborted

from fedmq.transport.rabbitmq_frames import Frame, FrameReader, body_frames

RECEIVE_BYTES: Final = 256 * 1024
_RECORD_BYTES: Final = 16 * 1024
"""Most that TLS gives at a time: RFC 8446, section 5.1."""
_REPLACED: Final = ("_on_data_available", "_send_message")
_USED: Final = ("_process_frame", "_adapter_emit_data")


def is_known() -> bool:
    """Return whether pika has the names that are replaced and used here."""
    return all(hasattr(SelectConnection, name) for name in (*_REPLACED, *_USED))


def read_in_larger_pieces() -> None:
    """Let pika read more than 4 KiB at a time: a megabyte is 256 rounds of its loop otherwise."""
    stream: Any = getattr(io_services_utils, "_AsyncTransportBase", None)
    if stream is not None and hasattr(stream, "_MAX_RECV_BYTES"):
        stream._MAX_RECV_BYTES = RECEIVE_BYTES  # noqa: SLF001 - guarded above
    secret: Any = getattr(io_services_utils, "_AsyncSSLTransport", None)
    if secret is not None and hasattr(secret, "_sigint_safe_recv"):
        secret._sigint_safe_recv = staticmethod(receive_records)  # noqa: SLF001 - guarded above


def receive_records(stream: ssl.SSLSocket, most_bytes: int) -> bytes:
    """Return what has come, about `most_bytes` of it at most; nothing: the other end has closed.

    TLS gives one record of 16 KiB at a time, and each of them went through all of pika's loop.

    Raises:
        ssl.SSLError: there is nothing (yet), or the connection is broken.
    """
    pieces = [stream.recv(_RECORD_BYTES)]
    size = len(pieces[0])
    with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
        while pieces[-1] and size < most_bytes:
            pieces.append(stream.recv(_RECORD_BYTES))
            size += len(pieces[-1])
    return b"".join(pieces)


class Connection(SelectConnection):
    """A connection that can be closed while it is opening."""

    def _on_connection_workflow_done(self, outcome: object) -> None:
        # pika 1.4 gives a class for an error where one is closed while it logs in, and then takes
        # that for a connection.
        if outcome is AMQPConnectionWorkflowAborted:
            outcome = AMQPConnectionWorkflowAborted()
        super()._on_connection_workflow_done(outcome)  # type: ignore[misc] # private to pika


class SwiftConnection(Connection):
    """The same with frames that are not copied: `fedmq.transport.rabbitmq_frames`."""

    bytes_received: int
    bytes_sent: int
    frames_sent: int
    _body_max_length: int
    _process_frame: Callable[[Frame], None]
    _adapter_emit_data: Callable[[memoryview], None]

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - pika's own
        self._reader = FrameReader()
        super().__init__(*args, **options)

    def _on_data_available(self, data: bytes) -> None:
        self.bytes_received += len(data)  # by which heartbeats are judged
        for found in self._reader.read(data):
            self._process_frame(found)

    def _send_message(self, channel: int, method: Any, content: tuple[Any, bytes]) -> None:  # noqa: ANN401
        properties, body = content
        most = self._body_max_length
        heads = (frame.Method(channel, method), frame.Header(channel, len(body), properties))
        pieces = chain((one.marshal() for one in heads), body_frames(channel, body, most))
        whole = b"".join(pieces)
        self.bytes_sent += len(whole)
        self.frames_sent += len(heads) + -(-len(body) // most)
        # pika cuts off what the socket took: of a view that copies nothing.
        self._adapter_emit_data(memoryview(whole))


def connection_class() -> type[Connection]:
    """Return what connections are made of with this version of pika."""
    return SwiftConnection if is_known() else Connection
