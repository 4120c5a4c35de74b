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


def match_path(pattern: str, path: str) -> tuple[Match, ...]:
    """Return what `pattern` finds in `path`, names joined by `/`; nothing where it does not fit.

    Where it can be read in more than one way, two of them: `{case}_{scan}` in `A_1_pre`.

    Raises:
        ConfigurationError: it is no pattern.
    """
    short, long = _compiled(pattern)
    found = short.fullmatch(path)
    if found is None:
        return ()
    both = (one.groupdict(default="") for one in (found, long.fullmatch(path)) if one)
    return tuple(
        dict.fromkeys(Match(case_id=names[CASE], scan=names.get(SCAN, "")) for names in both)
    )


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
    """Return what finds the shortest names, those that come first before the others, and longest.

    Where both find the same, there is no other way to read it.
    """
    if pattern.startswith("/") or ".." in pattern.split("/") or pattern.count("*") > _MAX_STARS:
        raise _no_pattern(pattern, f"it stays in the folder, and has {_MAX_STARS} * at most")
    short, long = ("".join(_parts(pattern, is_long=is_long)) for is_long in (False, True))
    if f"(?P<{CASE}>" not in short:
        raise _no_pattern(pattern, "it has no {case}")
    flags = re.IGNORECASE | re.DOTALL
    return re.compile(short, flags), re.compile(long, flags)


def _parts(pattern: str, *, is_long: bool) -> Iterator[str]:
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
            inside = "".join(_wild(one, is_long=is_long) for one in like or "?*")
            yield f"(?P<{name}>{inside})"
        elif wild:
            yield _wild(wild, is_long=not is_long)  # what a star leaves is a name's
        else:
            yield re.escape(literal)


def _wild(character: str, *, is_long: bool) -> str:
    star = "[^/]*" if is_long else "[^/]*?"
    return {"*": star, "?": "[^/]"}.get(character, re.escape(character))


def _no_pattern(pattern: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{pattern} is no pattern of a data map",
        why=why,
        fix='write such as "{case}/PET.nii.gz" or "images/{case}/{scan}_ct.nii.gz"',
    )
