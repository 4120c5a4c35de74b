"""Names of scans: their order, and the dates that stand in them. Pure."""

import re
from collections.abc import Iterator
from datetime import date
from itertools import pairwise, permutations
from typing import Final

_YEARS: Final = range(1800, 2101)
"""BIDS has dates that were shifted lie before 1925."""
_YEAR_FIRST: Final = (
    re.compile(r"(?<!\d)(\d{4})[-._ ](\d{1,2})[-._ ](\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?:T?\d{4}|T?\d{6})?(?!\d)"),
)
_LIKE_DATES: Final = (
    re.compile(r"(?<!\d)(\d{4}|\d{1,2})[-._ ](\d{1,2})[-._ ](\d{4}|\d{1,2})(?!\d)"),
    re.compile(r"(?<!\d)(\d{2})(\d{2})(\d{4})(?!\d)"),
    re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)"),
    re.compile(r"(?<!\d)(\d{2})(\d{2})(\d{2})(?!\d)"),
)
_MONTH: Final = re.compile(
    r"jan(uary?|vier)?|feb(ruary?)?|f[eé]v(rier)?|m[aä]r(ch|s|z)?|mrz|a[pv]r(il)?|ma[iy]|jun[ei]?"
    r"|juin|jul[iy]?|juil(let)?|aug(ust)?|ao[uû]t?|sept?(emb(er|re))?|o[ck]t(ob(er|re))?"
    r"|nov(emb(er|re))?|d[eé][cz](emb(er|re))?"
)


def name_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return what names of scans are sorted by: `scan-10` comes after `scan-9`."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts
    )


def date_in(name: str) -> date | None:
    """Return the one date, year first, that stands in a name: `ses-20200131`, `2020-01-31`."""
    found = set(_dates(name))
    return found.pop() if len(found) == 1 else None


def has_unclear_date(name: str) -> bool:
    """Return whether what looks like a date stands in a name, and nobody knows which one it is.

    Day or month first, a year of two digits, the month as a word, or two dates.
    """
    found = set(_dates(name))
    if found:
        return len(found) > 1
    parts = re.findall(r"\d+|[^\W\d_]+", name.casefold())
    return any(
        (_MONTH.fullmatch(one) and other.isdecimal())
        or (one.isdecimal() and _MONTH.fullmatch(other))
        for one, other in pairwise(parts)
    ) or any(_is_date(*one.groups()) for like in _LIKE_DATES for one in like.finditer(name))


def _dates(name: str) -> Iterator[date]:
    for like in _YEAR_FIRST:
        for one in like.finditer(name):
            year, month, day = map(int, one.groups())
            if _exists(year, month, day):
                yield date(year, month, day)


def _is_date(first: str, second: str, third: str) -> bool:
    """Return whether three numbers are a date in any order, the year at one of the ends."""
    return any(
        _exists(int(year) + 2000 * (len(year) == len("20")), int(month), int(day))
        for year, *rest in ((first, second, third), (third, second, first))
        for month, day in permutations(rest)
    )


def _exists(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return year in _YEARS
