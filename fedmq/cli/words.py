"""How figures, times and paths are written for people. Pure."""

from pathlib import Path
from typing import Final

_KILO: Final = 1000
_AGES: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 round, 2 rounds."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(size_bytes: int) -> str:
    """Return a size as people read it: 532 B, 45.6 kB, 1.32 GB."""
    if size_bytes < _KILO:
        return f"{size_bytes} B"
    amount = size_bytes / _KILO
    for unit in ("kB", "MB"):
        # What would be rounded to 1000.0 is one of the next unit.
        if round(amount, 1) < _KILO:
            return f"{amount:.1f} {unit}"
        amount /= _KILO
    return f"{amount:.2f} GB"


def ago(seconds: float) -> str:
    """Return how long ago something was, in the largest unit that it fills."""
    for unit, length in _AGES:
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def cut(text: str, width: int) -> str:
    """Return a text in at most `width` characters; one that is cut says so."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def printable(text: str, *, but: str = "") -> str:
    r"""Return a text in which what a screen does not show, or obeys, is spelt out: `\x1b`, `\n`.

    The characters `but` stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in but else one.encode("unicode_escape").decode()
        for one in text
    )


def as_typed(path: Path, here: Path) -> str:
    """Return a path as a person in the folder `here` would type it."""
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
