"""What is wrong with a file that a person wrote, in the words of whoever writes it. Pure.

pydantic's own words are a programmer's: they name types that no file has.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MAX_SHOWN: Final = 5
_KEY: Final = "[key]"
"""What pydantic adds to a place where a key itself is wrong."""
_TABLE: Final = "it is a table: write [{place}], and its keys on lines below"
_NUMBER: Final = "write a number, without quotes"
_WHOLE: Final = "write a whole number, without quotes"
_YES_NO: Final = "write true or false, without quotes"
_LIST: Final = "write a list, in brackets: [{said}]"
_PLAIN: Final = {
    "missing": "it is missing",
    "value_error": "{error}",
    "enum": "write {expected}",
    "literal_error": "write {expected}",
    "string_type": "write it in quotes: {said}",
    "string_too_short": "write something between the quotes",
    "string_too_long": "write {max_length} characters at most",
    "too_short": "write {min_length} at least",
    "too_long": "write {max_length} at most; there are {actual_length}",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "finite_number": _NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_type": _YES_NO,
    "bool_parsing": _YES_NO,
}
"""By pydantic's name of a fault; what is in braces it tells beside."""


def faults_in_words(error: ValidationError, kind: type[BaseModel]) -> Iterator[str]:
    """Yield what of a file is not as `kind` wants it: where, and what to write there."""
    for one in error.errors():
        yield f"{_place(one['loc'])}: {_words(one, kind)}"


def first_of(faults: Iterable[str]) -> str:
    """Return the first five faults, and whether there are more; "" where there are none.

    The others are not put into words: a file may have as many as lines, and what was meant is
    looked up for each.
    """
    shown = list(islice(faults, _MAX_SHOWN + 1))
    return "; ".join([*shown[:_MAX_SHOWN], *(["and more"] if len(shown) > _MAX_SHOWN else [])])


def meant(word: str, known: Iterable[str]) -> str:
    """Return which of the `known` words a mistyped one may be, as the end of a sentence."""
    words = list(known)
    plain = {one.casefold(): one for one in words}
    near = difflib.get_close_matches(word.casefold(), plain, n=1)
    if near:
        return f" (did you mean {plain[near[0]]}?)"
    return f" (known are {', '.join(words)})" if words else ""


def _place(where: Sequence[str | int]) -> str:
    """Return the keys that lead to a place; in a list, the how-manieth it is."""
    keys = ".".join(one for one in where if isinstance(one, str) and one != _KEY)
    items = [f", item {one + 1}" for one in where if isinstance(one, int)]
    return "".join((keys or "it", *items))


def _words(fault: "ErrorDetails", kind: type[BaseModel]) -> str:
    where, said = fault["loc"], fault["input"]
    if fault["type"] == "extra_forbidden":
        return f"there is no such key{meant(str(where[-1]), _keys_at(kind, where[:-1]))}"
    words = _PLAIN.get(fault["type"])
    if words is None:
        return fault["msg"]
    is_list = words == _LIST
    is_word = isinstance(said, str if is_list else str | int | float)
    quoted = json.dumps(str(said), ensure_ascii=False) if is_word else '"..."'
    if is_list and not is_word:
        quoted = "..."
    told = {"place": _place(where), "said": quoted, **fault.get("ctx", {})}
    return words.format_map(told)


def _keys_at(kind: type[BaseModel], where: Sequence[str | int]) -> list[str]:
    """Return the keys that a part of the file may have."""
    whole = kind.model_json_schema()
    part = whole
    for step in where:
        part = part.get("properties", {}).get(step) or part.get("additionalProperties") or {}
        part = _resolved(part, whole)
    return list(part.get("properties", ()))


def _resolved(part: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a schema itself, where it is told by name, or may be left out."""
    for one in (part, *part.get("anyOf", ())):
        if "$ref" in one:
            found: dict[str, Any] = whole["$defs"][one["$ref"].rpartition("/")[2]]
            return found
    return part
