"""How cells of clinical tables say numbers, yes, no, and nothing. Pure."""

import re
from typing import Final

MISSING: Final = frozenset({"", "na", "n/a", "nan", "none", "null", ".", "-", "?", "missing"})
YES: Final = frozenset({"1", "1.0", "true", "yes", "y"})
NO: Final = frozenset({"0", "0.0", "false", "no", "n"})
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")

AMBIGUOUS: Final = "it may be a thousand and more, or a number with a decimal comma: use a point"


def is_missing(cell: str) -> bool:
    """Return whether a cell says that nothing is known."""
    return cell.strip().casefold() in MISSING


def is_ambiguous(cell: str) -> bool:
    """Return whether a number has a comma that may stand between thousands: `1,234`."""
    return _THOUSANDS.fullmatch(cell.strip()) is not None


def number_in(cell: str) -> float | None:
    """Return the number in a cell, None where it holds none; `9,5` is nine and a half."""
    text = cell.strip()
    if is_ambiguous(text) or not _NUMBER.fullmatch(text):
        return None
    return float(text.replace(",", "."))
