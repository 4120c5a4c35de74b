"""Patterns: paths in a dataset's folder with places for the case and its scan. Pure.

`*` and `?` stand for characters of one name; `{case}` and `{scan}` for at least one, and
`{case:CHUP-*}` for what looks like that. Capitals make no difference but in names of cases.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from fedmq.errors import ConfigurationError

CASE: Final = "case"
SCAN: Final = "scan"
_PART: Final = re.compile(r"\{(\w+)(?::([^{}/]*))?\}|([{}])|([*?])|([^{}*?]+)")
_MAX_STARS: Final = 8
"""More make a search that does not end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a pattern finds in a path."""

    case_id: str
    scan: str
    """"" where the pattern has no place for it."""


def match_path(pattern: str, path: str) -> Match | None:
    """Return what `pattern` finds in `path`, names joined by `/`; None where it does not fit.

    Raises:
        ConfigurationError: it is no pattern.
    """
    found = _compiled(pattern).fullmatch(path)
    if found is None:
        return None
    names = found.groupdict(default="")
    return Match(case_id=names[CASE], scan=names.get(SCAN, ""))


def match_folder(pattern: str, name: str) -> str | None:
    """Return the case of which a folder of that name, at the top, is; None where it is of none.

    Raises:
        ConfigurationError: it is no pattern.
    """
    first, slash, _ = pattern.partition("/")
    if not slash or f"{{{CASE}" not in first or f"{{{SCAN}" in first:
        return None
    found = _compiled(first).fullmatch(name)
    return None if found is None else found[CASE]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern.startswith("/") or ".." in pattern.split("/") or pattern.count("*") > _MAX_STARS:
        raise _no_pattern(pattern, f"it stays in the folder, and has {_MAX_STARS} * at most")
    text = "".join(_parts(pattern))
    if f"(?P<{CASE}>" not in text:
        raise _no_pattern(pattern, "it has no {case}")
    return re.compile(text, re.IGNORECASE | re.DOTALL)


def _parts(pattern: str) -> Iterator[str]:
    seen: set[str] = set()
    was_place = False
    for name, like, brace, wild, literal in _PART.findall(pattern):
        if brace or (name and name not in {CASE, SCAN}):
            raise _no_pattern(pattern, "in braces stand {case} and {scan} alone")
        if name and was_place:
            raise _no_pattern(pattern, "nobody can tell where one name ends and the next begins")
        was_place = bool(name)
        if name in seen:
            yield f"(?P={name})"
        elif name:
            seen.add(name)
            inside = "".join(map(_wild, like)) if like else "[^/]+?"
            yield f"(?P<{name}>{inside})"
        elif wild:
            yield _wild(wild)
        else:
            yield re.escape(literal)


def _wild(character: str) -> str:
    return {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))


def _no_pattern(pattern: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{pattern} is no pattern of a data map",
        why=why,
        fix='write such as "{case}/PET.nii.gz" or "images/{case}_{scan}_ct.nii.gz"',
    )
