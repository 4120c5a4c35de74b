"""Documents: what `--json` prints. This is the one place that gives it its shape.

A document is one object that begins with its schema_version. Records stand in it by the names of
their fields; a field that a record keeps out of its repr, such as a password, is kept out here too.
"""

from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel

SCHEMA_VERSION: Final = 1
"""Grows when a name goes or changes its meaning; a new name may come at any time."""

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def make_document(content: object) -> dict[str, Plain]:
    """Return the document of a record, or of named contents.

    Raises:
        TypeError: it holds something that has no place in a document.
    """
    plain = make_plain(content)
    if not isinstance(plain, dict):
        raise TypeError(f"a document has names; {type(content).__name__} has none")
    return {"schema_version": SCHEMA_VERSION, **plain}


def make_plain(value: object) -> Plain:
    """Return what JSON can say of a value.

    Raises:
        TypeError: it is of a kind that has no place in a document.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case BaseModel():
            return make_plain(value.model_dump(mode="json"))
        case Mapping():
            return {str(name): make_plain(one) for name, one in value.items()}
        case Collection() if not isinstance(value, bytes):
            return [make_plain(one) for one in value]
        case _ if is_dataclass(value):
            return {
                field.name: make_plain(getattr(value, field.name))
                for field in fields(value)
                if field.repr
            }
        case _:
            raise TypeError(f"{type(value).__name__} has no place in a document")
