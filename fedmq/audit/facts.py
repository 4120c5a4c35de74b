"""Facts: what entries of audit logs tell, each of a kind; and those that all logs have. Pure.

A kind that is not known here, of a later version, is part of the chain as any other.
"""

import re
from dataclasses import Field, asdict, dataclass, fields
from functools import cache
from typing import Any, ClassVar, Final, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from fedmq.audit.chain import Entry, Fields

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9 ._:/,#()=+-]{1,500}")

Digits = str
"""A digest, in hexadecimal digits."""


class Fact(Protocol):
    """A dataclass whose fields are codes, counts, digests; nothing about a patient."""

    KIND: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesTurnedAway:
    """Messages of one kind were turned away, the first of them now."""

    KIND: ClassVar = "message_turned_away"

    reason: str
    sender: str
    """As the broker vouches; empty where it does not."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntriesPruned:
    """The oldest entries went, as the retention says."""

    KIND: ClassVar = "entries_pruned"

    count: int
    through: int
    """The number of the last of them."""
    through_hash: Digits


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadObjected:
    """The orchestrator does not sign a head of this log: it keeps others that do not go with it."""

    KIND: ClassVar = "head_objected"

    code: str
    entry: int
    """The number of the head."""
    kept: int
    """The number of the newest head of this log that the orchestrator keeps."""


def fields_of(fact: Fact) -> Fields:
    """Return what an entry says of a fact."""
    values = {field.name: getattr(fact, field.name) for field in fields(fact)}
    return {
        # `asdict` copies every string, and takes longer than all the rest of an entry.
        name: [_part(one) for one in value] if isinstance(value, tuple) else value
        for name, value in values.items()
    }


def fact_of(entry: Entry, kind: type[F]) -> F | None:
    """Return the fact that an entry tells, None where it is of another kind or version."""
    if entry.kind != kind.KIND:
        return None
    try:
        fact = _adapter(kind).validate_python(dict(entry.fields))
    except ValidationError:
        return None
    return fact if isinstance(fact, kind) else None


def _part(one: Any) -> Any:  # noqa: ANN401 - a word, or a dataclass of words
    return one if isinstance(one, str) else asdict(one)


@cache
def _adapter(kind: type[Fact]) -> TypeAdapter[Fact]:
    return TypeAdapter(kind)


def plain(word: str) -> str:
    """Return a word that came from outside, `?` where it has anything but letters, digits, .-_."""
    return word if not word or _PLAIN.fullmatch(word) else "?"


def plain_reference(text: str) -> str:
    """Return a reference, such as a protocol's, `?` where it is no line of plain characters."""
    return text if not text or _REFERENCE.fullmatch(text) else "?"
