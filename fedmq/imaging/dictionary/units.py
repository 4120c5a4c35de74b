"""Units of clinical variables, with the words that tables use for them. Pure.

A month is a twelfth of a year of 365.25 days, as trials count it.
"""

from typing import Final

_DAY: Final = 1.0
_YEAR: Final = 365.25
_FACTORS: Final = {
    "days": ("time", _DAY),
    "weeks": ("time", 7.0),
    "months": ("time", _YEAR / 12.0),
    "years": ("time", _YEAR),
    "g": ("mass", 1.0),
    "kg": ("mass", 1000.0),
    "mm": ("length", 1.0),
    "cm": ("length", 10.0),
    "m": ("length", 1000.0),
    "ml": ("volume", 1.0),
    "l": ("volume", 1000.0),
    "percent": ("share", 0.01),
    "fraction": ("share", 1.0),
}
"""Unit -> dimension, and how many of the dimension's smallest it is."""
_WORDS: Final = {
    "day": "days",
    "d": "days",
    "week": "weeks",
    "wk": "weeks",
    "month": "months",
    "mo": "months",
    "mois": "months",
    "jours": "days",
    "year": "years",
    "yr": "years",
    "yrs": "years",
    "ans": "years",
    "%": "percent",
    "pct": "percent",
    "cc": "ml",
    "cm3": "ml",
}

TIMES: Final = tuple(unit for unit, (dimension, _) in _FACTORS.items() if dimension == "time")


def unit_of_word(word: str) -> str | None:
    """Return the unit that a word of a column's name says, None where it says none."""
    lowered = word.casefold()
    name = _WORDS.get(lowered, lowered)
    return name if name in _FACTORS else None


def is_convertible(unit: str, to: str) -> bool:
    """Return whether numbers in one unit can be told in another."""
    dimensions = {_FACTORS[one][0] for one in (unit, to) if one in _FACTORS}
    return unit == to or (unit in _FACTORS and to in _FACTORS and len(dimensions) == 1)


def factor(unit: str, to: str) -> float:
    """Return by what a number in `unit` is multiplied to be one in `to`.

    Raises:
        KeyError: they cannot be converted; ask `is_convertible` first.
    """
    return 1.0 if unit == to else _FACTORS[unit][1] / _FACTORS[to][1]


def relatives(unit: str) -> tuple[str, ...]:
    """Return the other units of the same dimension."""
    return tuple(one for one in _FACTORS if one != unit and is_convertible(one, unit))
