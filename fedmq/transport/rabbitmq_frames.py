"""AMQP frames without pika's copies: what comes is looked at in place, what goes is joined once.

pika 1.4 keeps what came in one string, which it cuts anew for each frame, and copies a body that is
sent four times. Frames: AMQP 0-9-1, section 2.3.5; type, channel and size, a payload, an end mark.
"""

import struct
from collections.abc import Iterator
from typing import Final

from pika import exceptions, frame, spec

_HEAD: Final = struct.Struct(">BHI")
_END: Final = bytes([spec.FRAME_END])

Frame = frame.Frame | frame.ProtocolHeader


class FrameReader:
    """Cuts what comes into frames; of a body's frame each piece is given on as it comes."""

    def __init__(self) -> None:
        self._begun = b""
        """The beginning of a frame of another kind."""
        self._channel = 0
        self._left = 0
        """Bytes of a body's frame that have not come, its end mark among them."""

    def read(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames of what came; bodies are views of it.

        Raises:
            pika.exceptions.InvalidFrameError: it is not AMQP.
        """
        if self._begun:
            data, self._begun = self._begun + data, b""
        view, at = memoryview(data), 0
        while at < len(view):
            if self._left:
                piece = view[at : at + self._left]
                at += len(piece)
                yield from self._read_body(piece)
                continue
            if len(view) - at < _HEAD.size:
                break
            kind, channel, size = _HEAD.unpack_from(view, at)
            if kind == spec.FRAME_BODY:
                self._channel, self._left = channel, size + len(_END)
                at += _HEAD.size
                continue
            used, found = frame.decode_frame(data[at : at + _HEAD.size + size + len(_END)])
            if found is None:
                break
            at += used
            yield found
        self._begun = data[at:]

    def _read_body(self, piece: memoryview) -> Iterator[frame.Frame]:
        self._left -= len(piece)
        if not self._left:
            if piece[-1:] != _END:
                raise exceptions.InvalidFrameError("Invalid FRAME_END marker")
            piece = piece[:-1]
        if piece:
            yield frame.Body(self._channel, piece)  # type: ignore[arg-type] # joined by pika


def body_frames(channel: int, body: bytes | memoryview, most: int) -> Iterator[bytes | memoryview]:
    """Yield the pieces of which the frames of a body consist, `most` bytes of it in each frame."""
    view = memoryview(body)
    for at in range(0, len(view), most):
        piece = view[at : at + most]
        yield _HEAD.pack(spec.FRAME_BODY, channel, len(piece))
        yield piece
        yield _END
