"""Messages to bytes and back: the only place that packs or unpacks msgpack.

On the wire a message is a parcel, a msgpack array of five bins: the header (a map, the envelope),
the keys (a map: for whom the content key is wrapped; empty where nothing is sealed), the body (a
map, or what sealing made of it), bulk data (empty except in chunks) and the sender's signature over
the first three. What seals and signatures are made of, `fedmq.security` knows. The header is read
first: version, type and sizes are checked before the body is decoded.

Reasons that a `ProtocolError` raised here may carry: too_large, not_msgpack, not_an_envelope,
major_version, unknown_type, body_not_msgpack, body_invalid, data_unexpected, keys_invalid.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgpack
from pydantic import ValidationError

from fedmq.errors import ProtocolError
from fedmq.messages.envelope import MAJOR, MINOR, Envelope
from fedmq.messages.fields import MAX_CHUNK_BYTES
from fedmq.messages.payloads import Chunk
from fedmq.messages.registry import BODY_OF_TYPE, Body
from fedmq.types import ID_PATTERN

MAX_BODY_BYTES: Final = 1024 * 1024
"""Of a body without bulk data; a plan's source of 256 KiB fits, a bomb does not."""
MAX_HEADER_BYTES: Final = 4096
MAX_READERS: Final = 256
"""For so many a content key may be wrapped in one message."""
MAX_WRAP_BYTES: Final = 256
_MAX_KEYS_BYTES: Final = MAX_READERS * (MAX_WRAP_BYTES + 64)
SEALING_BYTES: Final = 64
"""At most so much longer a sealed part is than the plain one."""
_FRAMING_BYTES: Final = 512
MAX_MESSAGE_BYTES: Final = (
    MAX_HEADER_BYTES
    + _MAX_KEYS_BYTES
    + MAX_BODY_BYTES
    + MAX_CHUNK_BYTES
    + 2 * SEALING_BYTES
    + _FRAMING_BYTES
)
_MAX_SIGNATURE_BYTES: Final = 64
_NUM_PARTS: Final = 5
_ARRAY_OF_FIVE: Final = b"\x95"
_BIN_WIDTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}
"""Mark of a bin -> how many bytes its size has, the shortest first."""
_MAX_ITEMS: Final = 100_000

_UNPACK_ERRORS: Final = (
    ValueError,
    TypeError,
    RecursionError,
    OverflowError,
    msgpack.exceptions.UnpackException,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An envelope with its body, and the bytes of a chunk where the body is one."""

    envelope: Envelope
    body: Body
    data: bytes | memoryview = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message as it travels: five pieces of bytes, none of them looked into."""

    header: bytes
    keys: bytes = b""
    body: bytes
    data: bytes | memoryview = b""
    signature: bytes = b""


def encode(message: Message) -> bytes:
    """Return the bytes of `message`, neither sealed nor signed: for one's own disk.

    Raises:
        ProtocolError: the body is not of the envelope's type, or the message is beyond the limits.
    """
    return pack_parcel(make_parcel(message))


def decode(encoded: bytes) -> Message:
    """Return the message that `encoded` holds, which is neither sealed nor signed.

    Raises:
        ProtocolError: it holds none, or one of another major version; nothing else is raised.
    """
    parcel = unpack_parcel(encoded)
    envelope = read_header(parcel)
    if parcel.keys or parcel.signature:
        raise ProtocolError("body_invalid", "the message is sealed or signed")
    return Message(envelope=envelope, body=read_body(envelope, parcel.body), data=parcel.data)


def make_parcel(message: Message) -> Parcel:
    """Return the parcel of a message, neither sealed nor signed.

    Raises:
        ProtocolError: the body is not of the envelope's type, or the message is beyond the limits.
    """
    if message.envelope.type != message.body.TYPE:
        raise ProtocolError("unknown_type", "the envelope names another type than the body's")
    header = msgpack.packb(message.envelope.model_dump(mode="json"))
    body = msgpack.packb(message.body.model_dump(mode="json"))
    for what, size, limit in (
        ("an envelope", len(header), MAX_HEADER_BYTES),
        ("a body", len(body), MAX_BODY_BYTES),
        ("bulk data", len(message.data), MAX_CHUNK_BYTES),
    ):
        if size > limit:
            raise ProtocolError("too_large", f"{what} of {size} bytes, the limit is {limit}")
    return Parcel(header=header, body=body, data=message.data)


def pack_parcel(parcel: Parcel) -> bytes:
    """Return the bytes of a parcel; bulk data is copied once."""
    parts = (parcel.header, parcel.keys, parcel.body, parcel.data, parcel.signature)
    pieces: list[bytes | memoryview] = [_ARRAY_OF_FIVE]
    for part in parts:
        pieces += (_bin_head(len(part)), part)
    return b"".join(pieces)


def unpack_parcel(encoded: bytes) -> Parcel:
    """Return the parcel that `encoded` holds; its parts are within their limits.

    Bulk data is a view of `encoded`.

    Raises:
        ProtocolError: it holds none; nothing else is raised.
    """
    if len(encoded) > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            "too_large", f"{len(encoded)} bytes came, the limit is {MAX_MESSAGE_BYTES}"
        )
    header, keys, body, data, signature = _cut(encoded) or _unpack_parts(encoded)
    for part, limit in (
        (header, MAX_HEADER_BYTES),
        (keys, _MAX_KEYS_BYTES),
        (body, MAX_BODY_BYTES + SEALING_BYTES),
        (data, MAX_CHUNK_BYTES + SEALING_BYTES),
        (signature, _MAX_SIGNATURE_BYTES),
    ):
        if len(part) > limit:
            raise ProtocolError("too_large", f"a part of {len(part)} bytes, the limit is {limit}")
    return Parcel(
        header=bytes(header),
        keys=bytes(keys),
        body=bytes(body),
        data=data,
        signature=bytes(signature),
    )


def _cut(encoded: bytes) -> list[memoryview] | None:
    """Return the five bins of a parcel where they lie; None where it is written in another way."""
    view, at = memoryview(encoded), len(_ARRAY_OF_FIVE)
    if not encoded.startswith(_ARRAY_OF_FIVE):
        return None
    parts: list[memoryview] = []
    while len(parts) < _NUM_PARTS:
        width = _BIN_WIDTHS.get(view[at]) if at < len(view) else None
        if width is None:
            return None
        begin = at + 1 + width
        at = begin + int.from_bytes(view[at + 1 : begin], "big")
        if at > len(view):
            return None
        parts.append(view[begin:at])
    return parts if at == len(view) else None


def _unpack_parts(encoded: bytes) -> list[memoryview]:
    """Return the five bins of a parcel, however msgpack lets them be written.

    Raises:
        ProtocolError: there are none.
    """
    match _unpack(encoded, "not_msgpack"):
        case [bytes(), bytes(), bytes(), bytes(), bytes()] as parts:
            return [memoryview(part) for part in parts]
        case _:
            raise ProtocolError("not_an_envelope")


def _bin_head(size: int) -> bytes:
    """Return what stands before a bin of this size."""
    mark, width = next((mark, width) for mark, width in _BIN_WIDTHS.items() if size < 256**width)
    return bytes([mark]) + size.to_bytes(width, "big")


def read_header(parcel: Parcel) -> Envelope:
    """Return the envelope of a parcel, whose sender nobody has vouched for.

    Raises:
        ProtocolError: it is none, of another major version, of no known type, or it has bulk data
            and is no chunk.
    """
    header = _unpack(parcel.header, "not_an_envelope")
    if not isinstance(header, dict):
        raise ProtocolError("not_an_envelope")
    envelope = _read_envelope(header)
    if envelope.type not in BODY_OF_TYPE:
        raise ProtocolError("unknown_type", f"no message has the type {envelope.type!r}")
    if parcel.data and envelope.type != Chunk.TYPE:
        raise ProtocolError("data_unexpected")
    return envelope


def read_body(envelope: Envelope, packed: bytes) -> Body:
    """Return the body that `packed` holds, of the envelope's type.

    Raises:
        ProtocolError: it holds none.
    """
    body_class = BODY_OF_TYPE[envelope.type]
    fields = _unpack(packed, "body_not_msgpack")
    if not isinstance(fields, dict):
        raise ProtocolError("body_invalid")
    if envelope.minor > MINOR:
        # A newer minor version may add fields; what this version does not know it does not need.
        fields = {name: fields[name] for name in fields if name in body_class.model_fields}
    try:
        return body_class.model_validate(fields)
    except ValidationError as error:
        raise ProtocolError("body_invalid", _first_fault(error)) from None


def pack_keys(wraps: Mapping[str, bytes]) -> bytes:
    """Return the keys of a parcel: reader -> content key, wrapped for that reader.

    Raises:
        ProtocolError: there are more readers than a message may have.
    """
    if len(wraps) > MAX_READERS:
        raise ProtocolError("too_large", f"{len(wraps)} readers, the limit is {MAX_READERS}")
    packed: bytes = msgpack.packb(dict(sorted(wraps.items())))
    return packed


def read_keys(parcel: Parcel) -> dict[str, bytes]:
    """Return the wraps of a parcel's content key, by reader; none: it is not sealed.

    Raises:
        ProtocolError: they cannot be read.
    """
    if not parcel.keys:
        return {}
    wraps = _unpack(parcel.keys, "keys_invalid")
    if not isinstance(wraps, dict) or not 0 < len(wraps) <= MAX_READERS:
        raise ProtocolError("keys_invalid")
    for reader, wrap in wraps.items():
        is_id = isinstance(reader, str) and re.fullmatch(ID_PATTERN, reader) is not None
        if not is_id or not isinstance(wrap, bytes) or len(wrap) > MAX_WRAP_BYTES:
            raise ProtocolError("keys_invalid")
    return wraps


def _read_envelope(header: dict[object, object]) -> Envelope:
    major = header.get("major")
    if type(major) is int and major != MAJOR:
        raise ProtocolError("major_version", f"protocol {major} came, this is protocol {MAJOR}")
    minor = header.get("minor")
    if type(minor) is int and minor > MINOR:
        header = {name: header[name] for name in header if name in Envelope.model_fields}
    try:
        return Envelope.model_validate(header)
    except ValidationError as error:
        raise ProtocolError("not_an_envelope", _first_fault(error)) from None


def _unpack(packed: bytes, reason: str) -> object:
    """Return what `packed` holds; extension types are refused, timestamps by the models."""
    try:
        return msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            ext_hook=_refuse_extension,
            max_str_len=MAX_BODY_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
            max_ext_len=16,
        )
    except _UNPACK_ERRORS as error:
        raise ProtocolError(reason) from error


def _refuse_extension(code: int, _data: bytes) -> object:
    raise ValueError(f"extension type {code}")


def _first_fault(error: ValidationError) -> str:
    """Return where and how validation failed, without the offending value."""
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    place = ".".join(str(step)[:40] for step in fault["loc"][:6])
    return f"{place}: {fault['type']}"
