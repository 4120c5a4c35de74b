"""Tables of plain text: as wide as what stands in them, and never wider than the screen. Pure."""

import textwrap
from collections.abc import Sequence
from typing import Final

from fedmq.cli.words import cut

_GAP: Final = "  "
_LEAST: Final = 8
"""Characters that a column of text keeps, however narrow the screen."""
_BELOW: Final = "    "


def lay_out(
    titles: Sequence[str],
    rows: Sequence[Sequence[str | int]],
    *,
    width: int | None,
) -> list[str]:
    """Return a line of titles and a line for each row; columns of numbers stand to the right.

    Where there is a `width`, the widest columns of text are cut until the lines fit.
    """
    texts = [[str(cell) for cell in row] for row in rows]
    columns = list(zip(*[list(titles), *texts], strict=True))
    is_number = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in _each(titles)]
    widths = [max(map(len, column)) for column in columns]
    if width is not None:
        _narrow(widths, is_number, width)
    lines = []
    for row in (list(titles), *texts):
        cells = [
            cut(cell, room).rjust(room) if number else cut(cell, room).ljust(room)
            for cell, room, number in zip(row, widths, is_number, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    return lines


def below(text: str, *, width: int | None) -> list[str]:
    """Return the lines of a text that is too long for a column, to stand below its row."""
    return wrap(_BELOW + text, width=width) if text else []


def wrap(text: str, *, width: int | None) -> list[str]:
    """Return a text in lines of whole words, those after the first set in; names stay whole."""
    if width is None:
        return [text]
    return textwrap.wrap(text, width, subsequent_indent=_BELOW, break_on_hyphens=False)


def _narrow(widths: list[int], is_number: Sequence[bool], width: int) -> None:
    """Take from the widest column of text, one character after the other, until all fit."""
    texts = [i for i in _each(widths) if not is_number[i]]
    while texts and sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= _LEAST:
            return
        widths[widest] -= 1


def _each(things: Sequence[object]) -> range:
    return range(len(things))
