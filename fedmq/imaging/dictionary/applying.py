"""A site's clinical rows in the words of the dictionary, and what in them is not. Pure.

A cell that is not what its variable says is never taken for a missing one: its case goes without
its row, by name, until the cell is mended. A column in another unit spoils all rows: it is refused.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.cell_words import number_in
from fedmq.imaging.dictionary.cells import CellError, read_cell
from fedmq.imaging.dictionary.columns import Matching, match_columns
from fedmq.imaging.dictionary.model import Dictionary, LocalWords, Meaning, Variable
from fedmq.imaging.dictionary.units import factor, relatives

LEAST_FOR_MEDIAN: Final = 5
"""Of fewer patients a median says nothing about the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One cell that is not what the dictionary says; for the site only."""

    case_id: str
    column: str
    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Cases with their rows in the words of the dictionary."""

    cases: tuple[Case, ...]
    """As many as before; one with a fault has no row."""
    faults: tuple[Fault, ...]
    matching: Matching


def apply_dictionary(meaning: Meaning, cases: Sequence[Case]) -> Applied:
    """Return the cases with rows whose columns, units and codes are the dictionary's.

    Raises:
        DatasetError: code missing_column, ambiguous_column or wrong_unit: of the table as a whole.
    """
    dictionary, local = meaning.dictionary, meaning.local
    header = list(dict.fromkeys(column for case in cases for column in case.clinical))
    matching = match_columns(dictionary, local, header)
    for name in matching.columns:
        _require_unit(name, dictionary.variables[name], matching, cases)
    rows: list[dict[str, str]] = []
    faults: list[Fault] = []
    for case in cases:
        row, wrong = _read_row(case, dictionary, local, matching)
        rows.append({} if wrong else row)
        faults += wrong
    applied = [replace(case, clinical=row) for case, row in zip(cases, rows, strict=True)]
    return Applied(cases=tuple(applied), faults=tuple(faults), matching=matching)


def _read_row(
    case: Case, dictionary: Dictionary, local: LocalWords, matching: Matching
) -> tuple[dict[str, str], list[Fault]]:
    row: dict[str, str] = {}
    faults: list[Fault] = []
    for name, column in matching.columns.items():
        cell = case.clinical.get(column, "")
        if not case.clinical:
            break
        spellings = local.spellings.get(name, {})
        try:
            row[name] = read_cell(cell, dictionary.variables[name], matching.units[name], spellings)
        except CellError as error:
            text = f"column {column}: {error.why}"
            faults.append(Fault(case_id=case.case_id, column=column, code=error.code, text=text))
    return row, faults


def _require_unit(name: str, variable: Variable, matching: Matching, cases: Sequence[Case]) -> None:
    """Return if a column's values are, as a whole, where those of patients lie.

    Raises:
        DatasetError: code wrong_unit; cell by cell all of them may be possible.
    """
    expected = variable.median or variable.range
    column, unit = matching.columns[name], matching.units[name]
    cells = (number_in(case.clinical.get(column, "")) for case in cases)
    numbers = [number for number in cells if number is not None]
    if expected is None or len(numbers) < LEAST_FOR_MEDIAN:
        return
    median, (low, high) = statistics.median(numbers), expected
    if low <= median * factor(unit, variable.unit) <= high:
        return
    others = relatives(variable.unit)
    fitting = [one for one in others if low <= median * factor(one, variable.unit) <= high]
    guess = fitting[0] if len(fitting) == 1 else ""
    raise DatasetError(
        f"column {column} is not in {unit or 'the unit of the dictionary'}",
        code="wrong_unit",
        why=f"the median of its {len(numbers)} values is {median:g}, where {low:g} to {high:g}"
        f" {variable.unit} is expected" + (f": is it in {guess}?" if guess else ""),
        fix=f"mend the column, or say its unit in the site's file: "
        f'[units] {name} = "{guess or "..."}"',
    )
