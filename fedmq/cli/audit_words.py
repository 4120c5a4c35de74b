"""What the commands for audit logs print."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedmq.cli.console import FAILED, next_command, say, show, show_json, show_table, typed
from fedmq.cli.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fedmq.audit.chain import Entry, Head, Value
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
        text = _list_words(value) if isinstance(value, list) else str(value)
        if text:
            yield f"{name}={text[:_SHORT] if len(text) == _DIGEST else text}"


def _list_words(values: "Sequence[Value]") -> str:
    """Return the words of a list; of other things how many there are."""
    if values and all(isinstance(one, str) for one in values):
        return ";".join(map(str, values))
    return str(len(values))


def show_verified(verdict: "Verdict", log: str, *, as_json: bool, whose: str = "") -> None:
    """Show whether a log is what was written; `log` is the beginning of its commands.

    `whose` is the end of those that speak of the same log.

    Raises:
        AuditError: it is not.
    """
    from fedmq.audit.export import damage_of

    if as_json:
        show_json(verdict)
        if verdict.fault is not None:
            raise typer.Exit(FAILED)
        return
    if verdict.fault is not None:
        if verdict.num_entries:
            say(f"sound up to entry {verdict.head.number}, {time_words(verdict.ended_at)}")
        raise damage_of(verdict)
    show_verdict(verdict)
    next_command(f"{log} show{whose}", f"{log} export FILE{whose}")


def show_last(entries: "Sequence[Entry]", log: str, *, as_json: bool, whose: str = "") -> None:
    """Show entries of a log in lines; `log` is the beginning of its commands, `whose` the end."""
    if as_json:
        show_json({"entries": entries})
        return
    rows = [
        (one.number, time_words(one.at), one.kind, " ".join(entry_words(one))) for one in entries
    ]
    if rows:
        show_table(("entry", "when", "kind", "what"), rows)
    else:
        say("nothing has happened yet")
    next_command(f"{log} verify{whose}", f"{log} export FILE{whose}")


def show_exported(verdict: "Verdict", file: Path, log: str) -> None:
    """Show what was written to a file; `log` is the beginning of the log's commands."""
    say(f"{count(verdict.num_entries, 'entry').replace('entrys', 'entries')} in {typed(file)}")
    show(f"head        {verdict.head}")
    next_command(f"{log} verify {typed(file)} --head {verdict.head}")
