"""The chain of the audit log: entries as exact bytes, each with the hash of the one before. Pure.

An entry is one line of JSON, names sorted, no blanks, ASCII, that ends in `,"hash":"<64 digits>"}`.
The hash is SHA-256 of the line without that member: its last 75 bytes cut off, and `}` put back.
`previous` is the hash of the line before; in the very first entry it is 64 zeros.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fedmq.types import Digest

Value = str | int | float | None | list["Value"] | dict[str, "Value"]
Fields = Mapping[str, Value]

_OWN: Final = ("number", "at", "kind", "previous")
"""Names that no field of what happened may have; nor `hash`."""
_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")
_SEAL: Final = re.compile(rb',"hash":"([0-9a-f]{64})"\}\Z')


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How far a chain has come; who keeps it can tell later whether all of it is still there."""

    number: int
    hash: Digest

    def __str__(self) -> str:
        """Return it as people pass it on: number, colon, hash."""
        return f"{self.number}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Head | None":
        """Return the head that a text says, None where it says none."""
        match = _HEAD.fullmatch(text)
        return None if match is None else cls(number=int(match[1]), hash=Digest(match[2]))


BEGINNING: Final = Head(number=0, hash=Digest("0" * 64))
"""The head of a log without entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, read from its bytes."""

    number: int
    at: float
    """Unix seconds, by the clock of the machine: shown, never decided upon."""
    kind: str
    fields: Fields
    previous: Digest
    hash: Digest

    @property
    def head(self) -> Head:
        """The head of a chain that ends here."""
        return Head(number=self.number, hash=self.hash)

    @property
    def before(self) -> Head:
        """The head of the chain that this entry was put behind."""
        return Head(number=self.number - 1, hash=self.previous)


def write_entry(before: Head, *, at: float, kind: str, fields: Fields) -> tuple[bytes, Head]:
    """Return the bytes of the entry behind `before`, and the head of the chain with it.

    Raises:
        ValueError: a field has the name of the entry's own, or the time is no number.
    """
    if {*_OWN, "hash"} & fields.keys() or not math.isfinite(at):
        raise ValueError(f"an entry of kind {kind} cannot be written")
    number = before.number + 1
    body = json.dumps(
        {**fields, "number": number, "at": round(at, 3), "kind": kind, "previous": before.hash},
        sort_keys=True,
        separators=(",", ":"),
        allow_nan=False,
    ).encode()
    sealed = Digest(hashlib.sha256(body).hexdigest())
    return body[:-1] + b',"hash":"%b"}' % sealed.encode(), Head(number=number, hash=sealed)


def read_entry(line: bytes) -> Entry | None:
    """Return the entry that a line holds, None where its bytes are not those of its hash."""
    seal = _SEAL.search(line)
    if seal is None:
        return None
    body = line[: seal.start()] + b"}"
    if hashlib.sha256(body).hexdigest().encode() != seal[1]:
        return None
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return _entry(content, Digest(seal[1].decode())) if isinstance(content, dict) else None


def _entry(content: dict[str, Value], sealed: Digest) -> Entry | None:
    number, at, kind, previous = (content.pop(name, None) for name in _OWN)
    if not (
        isinstance(number, int)
        and isinstance(at, int | float)
        and isinstance(kind, str)
        and isinstance(previous, str)
    ):
        return None
    return Entry(
        number=number,
        at=float(at),
        kind=kind,
        fields=content,
        previous=Digest(previous),
        hash=sealed,
    )
