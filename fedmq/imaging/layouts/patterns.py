"""Patterns: paths in a dataset's folder with places for the case and its scan. Pure.

`*` and `?` stand for characters of one name; `{case}` and `{scan}` for at least one, and
`{case:CHUP-*}` for what looks like that. Capitals make no difference but in names of cases.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from fedmq.errors import ConfigurationError

CASE: Final = "case"
SCAN: Final = "scan"
_PART: Final = re.compile(r"\{(\w+)(?::([^{}/]*))?\}|([{}])|([*?])|([^{}*?]+)")
_ANY: Final = re.compile(r"\*|\{\w+\}")
"""What may be of any length; in a place that says what it looks like, its stars."""
_WHOLE_NAME: Final = re.compile(r"(?<![^/])\*(?=/)")
_MAX_ANY: Final = 3
"""In front of the last place's end, where each makes the search longer by a name's length: with
three, a name of 255 characters takes a second at most, with four it took half a minute."""
_END: Final = "\0"
"""Of a path; in no name of a file."""
_CHARACTER: Final = f"[^/{_END}]"
_STAR: Final = f"{_CHARACTER}*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a pattern finds in a path."""

    case_id: str
    scan: str
    """"" where the pattern has no place for it."""


def match_path(pattern: str, path: str) -> tuple[Match, ...]:
    """Return what `pattern` finds in `path`, names joined by `/`; nothing where it does not fit.

    Where it can be read in more than one way, two of them: `{case}_{scan}` in `A_1_pre`.

    Raises:
        ConfigurationError: it is no pattern.
    """
    short, other = _compiled(pattern)
    found = short.fullmatch(path)
    if found is None:
        return ()
    second = other.match(_END.join((path, *found.groups())))
    return tuple(
        Match(case_id=one[CASE], scan=one.groupdict().get(SCAN, ""))
        for one in (found, second)
        if one is not None
    )


def leads_out(path: str) -> bool:
    """Return whether a path in the dataset's folder would lie outside of it."""
    return path.startswith("/") or ".." in path.split("/")


def match_folder(pattern: str, name: str) -> str | None:
    """Return the case of which a folder of that name, at the top, is; None where it is of none.

    Raises:
        ConfigurationError: it is no pattern.
    """
    first, slash, _ = pattern.partition("/")
    if not slash or f"{{{CASE}" not in first or f"{{{SCAN}" in first:
        return None
    found = match_path(first, name)
    return found[0].case_id if len(found) == 1 else None


@cache
def _compiled(pattern: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds the shortest names, those that come first before the others, and others.

    The second finds the longest names but those that stand behind the path, each after an `_END`.
    """
    if leads_out(pattern):
        raise _no_pattern(pattern, "it leads out of the dataset's folder")
    short, long = (_expression(pattern, is_long=is_long) for is_long in (False, True))
    if f"(?P<{CASE}>" not in short:
        raise _no_pattern(pattern, "it has no {case}")
    flags = re.IGNORECASE | re.DOTALL
    first = re.compile(short, flags)
    same = _END.join(f"(?P={name})" for name in first.groupindex)
    return first, re.compile(rf"{long}{_END}(?!(?-i:{same})\Z)", flags)


def _expression(pattern: str, *, is_long: bool) -> str:
    """Return a pattern as a regular expression.

    Behind the last place nothing is named: the first that a star finds will do, and is not given
    up again. Else many stars made a search that did not end.
    """
    places: dict[str, int] = {}
    parts: list[str] = []
    end, was_place = 0, False
    for found in _PART.finditer(pattern):
        name, like, brace, wild, literal = found.groups(default="")
        if brace or (name and name not in {CASE, SCAN}):
            raise _no_pattern(pattern, "in braces stand {case} and {scan} alone")
        if name and was_place:
            raise _no_pattern(pattern, "nobody can tell where one name ends and the next begins")
        was_place = bool(name)
        if name in places:
            parts.append(f"(?P={name})")
        elif name:
            places[name], end = len(parts), found.end()
            inside = "".join(_wild(one, is_long=is_long) for one in like or "?*")
            parts.append(f"(?P<{name}>{inside})")
        elif wild:
            parts.append(_wild(wild, is_long=not is_long))  # what a star leaves is a name's
        else:
            parts.append(re.escape(literal))
    if len(_ANY.findall(_WHOLE_NAME.sub("", pattern[:end]))) > _MAX_ANY:
        why = f"more than {_MAX_ANY} * and places, the last place among them, are too many to try"
        raise _no_pattern(pattern, why)
    last = max(places.values(), default=-1) + 1
    return "".join(parts[:last]) + _behind(parts[last:])


def _behind(parts: Sequence[str]) -> str:
    stars = [at for at, part in enumerate(parts) if part.startswith(_STAR)]
    if not stars:
        return "".join(parts)
    texts = [
        "".join(parts[at + 1 : end])
        for at, end in zip(stars, [*stars[1:], len(parts)], strict=True)
    ]
    *firsts, last = texts
    between = "".join(f"(?>{_STAR}?{text})" for text in firsts)
    return "".join(parts[: stars[0]]) + between + _STAR + last


def _wild(character: str, *, is_long: bool) -> str:
    star = _STAR if is_long else f"{_STAR}?"
    return {"*": star, "?": _CHARACTER}.get(character, re.escape(character))


def _no_pattern(pattern: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{pattern} is no pattern of a data map",
        why=why,
        fix='write such as "{case}/PET.nii.gz" or "images/{case}/{scan}_ct.nii.gz"',
    )
