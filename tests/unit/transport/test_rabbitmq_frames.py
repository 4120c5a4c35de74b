"""Frames as this program cuts and makes them, against pika's own."""

import ssl
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import exceptions, frame, spec
from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils import io_services_utils
from pika.channel import ContentFrameAssembler

from fedmq.transport import rabbitmq_connection
from fedmq.transport.rabbitmq_connection import (
    Connection,
    SwiftConnection,
    connection_class,
    receive_records,
)
from fedmq.transport.rabbitmq_frames import FrameReader, body_frames

CHANNEL, MOST = 3, 50
BODY = bytes(range(256)) * 2


def message(body: bytes) -> bytes:
    """Return what RabbitMQ sends for a message that is delivered, with a heartbeat behind it."""
    heads = (
        frame.Method(CHANNEL, spec.Basic.Deliver("tag", 7, exchange="exchange", routing_key="key")),
        frame.Header(CHANNEL, len(body), spec.BasicProperties(user_id="chu-lyon")),
    )
    pieces = [*(one.marshal() for one in heads), *body_frames(CHANNEL, body, MOST)]
    return b"".join([*pieces, frame.Heartbeat().marshal()])


STREAM = b"AMQP\x00\x00\x09\x01" + b"".join(map(message, (BODY, b"", b"short", BODY)))


def bodies(frames: list[Any]) -> list[bytes]:
    """Return the bodies of messages, put together as pika does."""
    assembler = ContentFrameAssembler()
    contents = [frame.Method, frame.Header, frame.Body]
    found = [assembler.process(one) for one in frames if type(one) in contents]
    return [one[2] for one in found if one is not None]


@given(st.lists(st.integers(1, 200), min_size=1))
def test_a_stream_gives_the_same_messages_wherever_it_is_cut(sizes: list[int]) -> None:
    """In the middle of a head, of a mark, of a method; byte by byte."""
    cuts = [one for one in accumulate(sizes, initial=0) if one < len(STREAM)]
    reader = FrameReader()
    frames = [
        one
        for begin, end in pairwise([*cuts, len(STREAM)])
        for one in reader.read(STREAM[begin:end])
    ]
    assert bodies(frames) == [BODY, b"", b"short", BODY]
    assert isinstance(frames[0], frame.ProtocolHeader)
    assert sum(isinstance(one, frame.Heartbeat) for one in frames) == 4
    assert {one.channel_number for one in frames if isinstance(one, frame.Body)} == {CHANNEL}


def test_a_body_is_not_copied() -> None:
    """What pika joins in the end are views of what the socket gave."""
    data = b"".join(body_frames(CHANNEL, BODY, len(BODY)))
    (piece,) = FrameReader().read(data)
    assert isinstance(piece, frame.Body)
    assert isinstance(piece.fragment, memoryview)
    assert piece.fragment.obj is data


def test_frames_of_a_body_are_pikas() -> None:
    """Also where its last one is short, or as long as the others."""
    for body in (BODY, BODY[: 4 * MOST], b"x"):
        pieces = [body[at : at + MOST] for at in range(0, len(body), MOST)]
        expected = b"".join(frame.Body(CHANNEL, piece).marshal() for piece in pieces)
        assert b"".join(body_frames(CHANNEL, body, MOST)) == expected
    assert list(body_frames(CHANNEL, b"", MOST)) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        b"".join(body_frames(CHANNEL, b"body", MOST))[:-1] + b"\x00",
        frame.Heartbeat().marshal()[:-1] + b"\x00",
        b"\x63" + frame.Heartbeat().marshal()[1:],
    ],
)
def test_what_is_no_frame_ends_the_connection(spoilt: bytes) -> None:
    """As it does in pika, which then closes."""
    with pytest.raises(exceptions.InvalidFrameError):
        list(FrameReader().read(spoilt))


def test_this_version_of_pika_has_what_is_replaced() -> None:
    """Another one has its own ways, which are slower."""
    assert connection_class() is SwiftConnection


def test_a_pika_with_other_names_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in half."""
    monkeypatch.setattr(rabbitmq_connection, "_USED", ("_not_there_any_more",))
    assert connection_class() is Connection


def test_what_comes_counts_as_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose count of bytes stands still is ended by pika."""
    monkeypatch.setattr(SelectConnection, "__init__", lambda self: vars(self).update(blank()))
    connection = SwiftConnection()
    seen: list[object] = []
    monkeypatch.setattr(connection, "_process_frame", seen.append)
    data = b"".join(body_frames(CHANNEL, BODY, MOST))
    connection._on_data_available(data[:20])
    assert connection.bytes_received == 20
    connection._on_data_available(data[20:])
    assert connection.bytes_received == len(data)
    assert seen


def test_a_message_leaves_in_one_piece_that_is_cut_without_a_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bytes as pika's, and the same counts."""
    method = spec.Basic.Publish(exchange="exchange", routing_key="key")
    content = (spec.BasicProperties(user_id="chu-lyon"), BODY)
    monkeypatch.setattr(SelectConnection, "__init__", lambda self: vars(self).update(blank()))
    ours, theirs = SwiftConnection(), SelectConnection()
    sent: dict[object, list[bytes]] = {ours: [], theirs: []}
    for one in (ours, theirs):
        monkeypatch.setattr(one, "_adapter_emit_data", sent[one].append)
        one._send_message(CHANNEL, method, content)  # type: ignore[union-attr]
    assert b"".join(sent[ours]) == b"".join(sent[theirs])
    assert [type(piece) for piece in sent[ours]] == [memoryview]
    assert (ours.bytes_sent, ours.frames_sent) == (theirs.bytes_sent, theirs.frames_sent)  # type: ignore[attr-defined]


def blank() -> dict[str, int]:
    """Return the counts of a connection on which nothing came or went."""
    return {"bytes_received": 0, "bytes_sent": 0, "frames_sent": 0, "_body_max_length": MOST}


class Records:
    """A TLS socket that has these records."""

    def __init__(self, *records: bytes | Exception) -> None:
        self.records = list(records)

    def recv(self, most: int) -> bytes:
        """Return the next one."""
        if not self.records:
            raise ssl.SSLWantReadError
        record = self.records.pop(0)
        if isinstance(record, Exception):
            raise record
        assert len(record) <= most
        return record


def test_records_that_have_come_are_taken_together() -> None:
    """Up to what is asked for; the others stay."""
    stream: Any = Records(b"a" * 16_384, b"b" * 100, b"c" * 16_384, b"d")
    assert receive_records(stream, 20_000) == b"a" * 16_384 + b"b" * 100 + b"c" * 16_384
    assert receive_records(stream, 20_000) == b"d"
    with pytest.raises(ssl.SSLWantReadError):
        receive_records(stream, 20_000)


def test_the_end_of_a_stream_is_told_behind_its_last_bytes() -> None:
    """As by any socket: nothing."""
    stream: Any = Records(b"last", b"", b"")
    assert receive_records(stream, 20_000) == b"last"
    assert receive_records(stream, 20_000) == b""


def test_a_broken_connection_is_told() -> None:
    """It is not taken for one that has nothing yet."""
    stream: Any = Records(b"last", ssl.SSLError(1, "bad record"))
    with pytest.raises(ssl.SSLError, match="bad record"):
        receive_records(stream, 20_000)


def test_pika_has_what_is_replaced_for_reading() -> None:
    """Else a new version of it would be slow, and nobody would know."""
    assert hasattr(io_services_utils._AsyncTransportBase, "_MAX_RECV_BYTES")
    assert hasattr(io_services_utils._AsyncSSLTransport, "_sigint_safe_recv")
