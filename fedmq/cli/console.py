"""How commands speak: data on stdout, talk on stderr, errors as what, why and fix.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished short, 4 refused, 130 left by Ctrl-C.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer

from fedmq.cli import tables, words
from fedmq.errors import BrokerRefused, FedmqError

if TYPE_CHECKING:
    from fedmq.transport.home import Room

FAILED: Final = 1
SHORT: Final = 3
REFUSED: Final = 4
INTERRUPTED: Final = 130

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
"""The option that every command has which shows something."""


def say(text: str) -> None:
    """Print talk."""
    _print(text, sys.stderr)


def say_long(text: str) -> None:
    """Print talk that may be longer than a line; on a screen it goes on below, set in."""
    for line in tables.wrap(text, width=_width(sys.stderr)):
        say(line)


def show(text: str) -> None:
    """Print data."""
    _print(text, sys.stdout)


def show_json(content: object) -> None:
    """Print data for programs: a record, or named contents."""
    # Documents know pydantic, which help does without.
    from fedmq.cli.documents import make_document

    show(json.dumps(make_document(content), indent=2))


def show_json_line(content: object) -> None:
    """Print one of several documents for programs that read line by line."""
    from fedmq.cli.documents import make_document

    show(json.dumps(make_document(content)))


def show_table(
    titles: Sequence[str], rows: Sequence[Sequence[str | int]], notes: Sequence[str] = ()
) -> None:
    """Print rows under their titles, and below each row the lines of its note if it has one."""
    width = screen_width()
    header, *lines = tables.lay_out(titles, rows, width=width)
    show(header)
    for number, line in enumerate(lines):
        show(line)
        for note in notes[number].splitlines() if notes else ():
            for more in tables.below(note, width=width):
                show(more)


def show_room(room: "Room") -> None:
    """Print how much room a program's disk has, or how much it lacks to go on."""
    if room.is_enough:
        show(f"disk free         {words.size(room.free_bytes)}")
    else:
        show(f"disk full         {room}")


def screen_width() -> int | None:
    """Return how many characters a line of data may have; None where it goes to no screen."""
    return _width(sys.stdout)


def typed(path: Path) -> str:
    """Return a path as the person at this terminal would type it."""
    return words.as_typed(path, Path.cwd())


def next_command(*commands: str) -> None:
    """Print what people may want to do next."""
    say("next: " + commands[0])
    for command in commands[1:]:
        say("      " + command)


def tell_error(error: FedmqError) -> int:
    """Print an error; return the exit code."""
    say(f"error: {error.what}")
    if error.why:
        say(f"  why: {error.why}")
    if error.fix:
        say(f"  fix: {error.fix}")
    return REFUSED if isinstance(error, BrokerRefused) else FAILED


def _width(stream: TextIO) -> int | None:
    # A terminal that does not know its size says 0.
    return (os.get_terminal_size(stream.fileno()).columns or None) if stream.isatty() else None


def _print(text: str, stream: TextIO) -> None:
    """Print lines; what a screen would obey, or this one cannot show, is spelt out."""
    shown = words.printable(text, but="\n\t")  # names of files and cases are anyone's
    encoding = stream.encoding or "utf-8"
    print(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
