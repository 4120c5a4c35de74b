"""Outcomes: what hospitals write in cells is read, what is missing is left out, not guessed."""

import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.learning.outcomes import Outcomes, read_outcomes


def outcomes_of(*cells: tuple[str, str]) -> Outcomes:
    """Return the outcomes of cases with these cells for time and event."""
    cases = [
        Case(case_id=f"case-{number}", volumes={}, clinical={"pfs": time, "event": event})
        for number, (time, event) in enumerate(cells)
    ]
    return read_outcomes(cases, time_column="pfs", event_column="event")


def test_cells_are_read_as_they_are_written() -> None:
    """Comma or point, 1 or true, spaces; cases without time or event are left out."""
    outcomes = outcomes_of(("9,5", "1"), ("", "1"), (" 12.0 ", "No"), ("3", "NA"), ("0", "TRUE"))
    assert outcomes.times.tolist() == [9.5, 12.0, 0.0]
    assert outcomes.events.tolist() == [True, False, True]
    assert [case.case_id for case in outcomes.cases] == ["case-0", "case-2", "case-4"]


@pytest.mark.parametrize(
    "cells", [("soon", "1"), ("-1", "1"), ("inf", "1"), ("1,234", "1"), ("3", "2")]
)
def test_a_cell_that_is_no_value_names_case_and_column_not_the_cell(
    cells: tuple[str, str],
) -> None:
    """The site is told where; what stands there is its own affair."""
    with pytest.raises(DatasetError) as caught:
        outcomes_of(("1", "1"), cells)
    assert (caught.value.code, caught.value.case) == ("bad_value", "case-1")
    assert "soon" not in str(caught.value)


def test_a_column_in_no_row_is_misspelt() -> None:
    """Otherwise every case would be left out without a word; no case at all is no fault."""
    case = Case(case_id="A", volumes={}, clinical={"pfs": "3"})
    with pytest.raises(DatasetError) as caught:
        read_outcomes([case], time_column="pfs", event_column="event")
    assert caught.value.code == "no_column"
    assert read_outcomes([], time_column="pfs", event_column="event").cases == ()
