"""What the commands for audit logs print."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fedmq.cli.console import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedmq.audit.chain import Entry, Head
    from fedmq.audit.check import Verdict

_SHORT = 12
"""Digits of a digest that are shown where there is no room for all."""
_DIGEST = 64


def show_verdict(verdict: "Verdict") -> None:
    """Print what was found of a sound log."""
    if not verdict.num_entries:
        show("entries     0")
        return
    span = f"{verdict.first} to {verdict.head.number}"
    show(f"entries     {verdict.num_entries}: {span}")
    show(f"from        {time_words(verdict.began_at)}")
    show(f"to          {time_words(verdict.ended_at)}")
    show(f"head        {verdict.head}")
    if verdict.num_heads:
        show(f"kept heads  {verdict.num_heads} found")
    if verdict.witnessed is not None:
        one = verdict.witnessed
        show(f"witnessed   up to entry {one.number}, {time_words(one.at)}, by {one.by}")


def parse_head(text: str) -> "Head":
    """Return the head that somebody typed.

    Raises:
        ConfigurationError: it is none.
    """
    from fedmq.audit.chain import Head
    from fedmq.errors import ConfigurationError

    head = Head.parse(text)
    if head is None:
        raise ConfigurationError(
            f"{text!r} is no head",
            why="a head is the number of an entry, a colon, and 64 digits",
            fix="take it from fedmq node audit verify",
        )
    return head


def time_words(at: float | None) -> str:
    """Return a time for people."""
    try:
        return "-" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # a clock that was set beyond all calendars
        return f"{at:.0f} s"


def entry_words(entry: "Entry") -> "Iterator[str]":
    """Yield what an entry tells, its digests short."""
    for name, value in entry.fields.items():
        text = f"{len(value)}" if isinstance(value, list) else str(value)
        if text:
            yield f"{name}={text[:_SHORT] if len(text) == _DIGEST else text}"
