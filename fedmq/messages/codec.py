"""Messages to bytes and back: the only place that packs or unpacks msgpack.

On the wire a message is a msgpack array of three: the envelope (a map), the body (a bin that holds
a map) and bulk data (a bin, empty except in chunks). The envelope is read first: version, type and
size are checked before the body is decoded.

Reasons that a `ProtocolError` raised here may carry: too_large, not_msgpack, not_an_envelope,
major_version, unknown_type, body_not_msgpack, body_invalid, data_unexpected.
"""

from dataclasses import dataclass
from typing import Final

import msgpack
from pydantic import ValidationError

from fedmq.errors import ProtocolError
from fedmq.messages.envelope import MAJOR, MINOR, Envelope
from fedmq.messages.fields import MAX_CHUNK_BYTES
from fedmq.messages.payloads import Chunk
from fedmq.messages.registry import BODY_OF_TYPE, Body

MAX_BODY_BYTES: Final = 1024 * 1024
"""Of a body without bulk data; a plan's source of 256 KiB fits, a bomb does not."""
MAX_ENVELOPE_BYTES: Final = 4096
MAX_MESSAGE_BYTES: Final = MAX_BODY_BYTES + MAX_CHUNK_BYTES + MAX_ENVELOPE_BYTES
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
    data: bytes = b""


def encode(message: Message) -> bytes:
    """Return the bytes of `message`.

    Raises:
        ProtocolError: the body is not of the envelope's type, or the message is beyond the limits.
    """
    if message.envelope.type != message.body.TYPE:
        raise ProtocolError("unknown_type", "the envelope names another type than the body's")
    body = msgpack.packb(message.body.model_dump(mode="json"))
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(
            "too_large", f"a body of {len(body)} bytes, the limit is {MAX_BODY_BYTES}"
        )
    envelope = message.envelope.model_dump(mode="json")
    encoded: bytes = msgpack.packb([envelope, body, message.data])
    if len(encoded) > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            "too_large", f"a message of {len(encoded)} bytes, the limit is {MAX_MESSAGE_BYTES}"
        )
    return encoded


def decode(encoded: bytes) -> Message:
    """Return the message that `encoded` holds.

    Raises:
        ProtocolError: it holds none, or one of another major version; nothing else is raised.
    """
    if len(encoded) > MAX_MESSAGE_BYTES:
        raise ProtocolError(
            "too_large", f"{len(encoded)} bytes came, the limit is {MAX_MESSAGE_BYTES}"
        )
    match _unpack(encoded, "not_msgpack"):
        case [dict(header), bytes(packed), bytes(data)]:
            pass
        case _:
            raise ProtocolError("not_an_envelope")
    envelope = _read_envelope(header)
    body_class = BODY_OF_TYPE.get(envelope.type)
    if body_class is None:
        raise ProtocolError("unknown_type", f"no message has the type {envelope.type!r}")
    if len(packed) > MAX_BODY_BYTES:
        raise ProtocolError("too_large", f"a body of {len(packed)} bytes")
    if data and body_class is not Chunk:
        raise ProtocolError("data_unexpected")
    fields = _unpack(packed, "body_not_msgpack")
    if not isinstance(fields, dict):
        raise ProtocolError("body_invalid")
    if envelope.minor > MINOR:
        # A newer minor version may add fields; what this version does not know it does not need.
        fields = {name: fields[name] for name in fields if name in body_class.model_fields}
    return Message(envelope=envelope, body=_read_body(body_class, fields), data=data)


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


def _read_body(body_class: type[Body], fields: dict[object, object]) -> Body:
    try:
        return body_class.model_validate(fields)
    except ValidationError as error:
        raise ProtocolError("body_invalid", _first_fault(error)) from None


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
