"""One cell of a site's table in the words of the dictionary. Pure."""

import math
import re
from typing import Final

from fedmq.imaging.dictionary.model import Kind, Variable
from fedmq.imaging.dictionary.units import factor

MISSING: Final = frozenset({"", "na", "n/a", "nan", "none", "null", ".", "-", "?", "missing"})
_YES: Final = frozenset({"1", "1.0", "true", "yes", "y"})
_NO: Final = frozenset({"0", "0.0", "false", "no", "n"})
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_ROUNDED: Final = 1e-9


class CellError(ValueError):
    """A cell that is not what its variable says: `code` is a short word, `why` for the site."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def is_missing(cell: str) -> bool:
    """Return whether a cell says that nothing is known."""
    return cell.strip().casefold() in MISSING


def read_cell(
    cell: str, variable: Variable, unit: str, spellings: dict[str, tuple[str, ...]]
) -> str:
    """Return what a cell that is not empty says, in the dictionary's unit and codes.

    Raises:
        CellError: code bad_value, out_of_range or unknown_code.
    """
    text = cell.strip()
    if variable.type in {Kind.NUMBER, Kind.INTEGER}:
        return _read_number(text, variable, unit)
    if variable.type is Kind.FLAG:
        words = {"yes": (*_YES, *variable.words("yes")), "no": (*_NO, *variable.words("no"))}
    else:
        words = {code: (code, *variable.words(code)) for code in variable.codes}
    for code, known in words.items():
        if text.casefold() in {word.casefold() for word in (*known, *spellings.get(code, ()))}:
            return {"yes": "1", "no": "0"}[code] if variable.type is Kind.FLAG else code
    raise CellError(
        "unknown_code", f"{text!r} is none of {', '.join(words)}, nor a word that is known for one"
    )


def number_in(cell: str) -> float | None:
    """Return the number in a cell as it stands there, None where it holds none."""
    text = cell.strip()
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _read_number(text: str, variable: Variable, unit: str) -> str:
    said = number_in(text)
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
