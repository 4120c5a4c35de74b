"""One cell of a site's table in the words of the dictionary. Pure."""

import math
from typing import Final

from fedmq.imaging.cell_words import AMBIGUOUS, NO, YES, is_ambiguous, is_missing, number_in
from fedmq.imaging.dictionary.model import Kind, Variable, plain_word
from fedmq.imaging.dictionary.units import factor

_ROUNDED: Final = 1e-9


class CellError(ValueError):
    """A cell that is not what its variable says: `code` is a short word, `why` for the site."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def read_cell(
    cell: str, variable: Variable, unit: str, spellings: dict[str, tuple[str, ...]]
) -> str:
    """Return what a cell says, in the dictionary's unit and codes; empty where it says nothing.

    A word of the dictionary, or of the site, counts before it is taken for a missing one: `-` may
    be negative, `none` a code.

    Raises:
        CellError: code bad_value, out_of_range or unknown_code.
    """
    text = cell.strip()
    if variable.type in {Kind.NUMBER, Kind.INTEGER}:
        return "" if is_missing(text) else _read_number(text, variable, unit)
    if variable.type is Kind.FLAG:
        words = {"yes": (*YES, *variable.words("yes")), "no": (*NO, *variable.words("no"))}
    else:
        words = {code: (code, *variable.words(code)) for code in variable.codes}
    for code, known in words.items():
        if plain_word(text) in {plain_word(word) for word in (*known, *spellings.get(code, ()))}:
            return {"yes": "1", "no": "0"}[code] if variable.type is Kind.FLAG else code
    if is_missing(text):
        return ""
    raise CellError(
        "unknown_code", f"{text!r} is none of {', '.join(words)}, nor a word that is known for one"
    )


def _read_number(text: str, variable: Variable, unit: str) -> str:
    said = number_in(text)
    if is_ambiguous(text):
        raise CellError("bad_value", f"{text!r}: {AMBIGUOUS}")
    if said is None:
        raise CellError("bad_value", f"{text!r} is no number")
    number = said * factor(unit, variable.unit)
    if not math.isfinite(number):
        raise CellError("bad_value", f"{text!r} is no number of a patient")
    if variable.type is Kind.INTEGER:
        if abs(number - round(number)) > _ROUNDED:
            raise CellError("bad_value", f"{text!r} is no whole number")
        number = round(number)
    low, high = variable.range or (-math.inf, math.inf)
    if not low <= number <= high:
        in_unit = f" {variable.unit}" if variable.unit else ""
        raise CellError("out_of_range", f"{number:g}{in_unit} is not within {low:g} to {high:g}")
    return repr(number)
