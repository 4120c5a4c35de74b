"""Outcomes: what happened to each case and when, read from the cells of the clinical table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.cell_words import AMBIGUOUS, NO, YES, is_ambiguous, is_missing, number_in


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """The cases whose end or last visit is known, with both columns; the others are left out."""

    cases: tuple[Case, ...]
    times: NDArray[np.float64]
    """Shape (n,), in the unit of the table."""
    events: NDArray[np.bool_]
    """Shape (n,): true where the end was seen."""

    def select(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """Return the cases where `chosen`, shape (n,), is true."""
        return Outcomes(
            cases=tuple(case for case, one in zip(self.cases, chosen, strict=True) if one),
            times=self.times[chosen],
            events=self.events[chosen],
        )


def read_outcomes(cases: Sequence[Case], *, time_column: str, event_column: str) -> Outcomes:
    """Return the outcomes of those cases that have one, in the order given.

    Raises:
        DatasetError: code no_column or bad_value.
    """
    known: list[tuple[Case, float, bool]] = []
    check_columns(cases, (time_column, event_column))
    for case in cases:
        time = read_number(case, time_column)
        event = _read_flag(case, event_column)
        if time is None or event is None:
            continue
        if time < 0.0:
            raise _bad_value(case, time_column, "a time is not negative")
        known.append((case, time, event))
    return Outcomes(
        cases=tuple(case for case, _, _ in known),
        times=np.array([time for _, time, _ in known], dtype=np.float64),
        events=np.array([event for _, _, event in known], dtype=np.bool_),
    )


def check_columns(cases: Sequence[Case], columns: Sequence[str]) -> None:
    """Raise if a column is in no row at all: it is misspelt, not missing.

    Raises:
        DatasetError: code no_column.
    """
    for column in columns:
        if cases and not any(column in case.clinical for case in cases):
            raise DatasetError(
                f"no case has the column {column}",
                code="no_column",
                why="the clinical table does not have it, or there is no table; or it is a feature "
                "that was not measured in the files as they are",
                fix="name the column in the table so, or set its name in the training config; "
                "fedmq node data features measures features",
            )


def read_number(case: Case, column: str) -> float | None:
    """Return the number in a cell, nothing where it is missing; `9,5` is nine and a half.

    Raises:
        DatasetError: code bad_value.
    """
    cell = case.clinical.get(column, "")
    if is_missing(cell):
        return None
    number = number_in(cell)
    if number is None or not math.isfinite(number):
        why = AMBIGUOUS if is_ambiguous(cell) else "a number is expected"
        raise _bad_value(case, column, why)
    return number


def _read_flag(case: Case, column: str) -> bool | None:
    cell = case.clinical.get(column, "").strip().casefold()
    if is_missing(cell):
        return None
    if cell not in YES | NO:
        raise _bad_value(case, column, "1 or 0, true or false, yes or no is expected")
    return cell in YES


def _bad_value(case: Case, column: str, why: str) -> DatasetError:
    return DatasetError(
        f"case {case.case_id} cannot be used: the cell in column {column}",
        code="bad_value",
        case=case.case_id,
        why=why,
        fix="mend the cell, or empty it",
    )
