"""Several experiments as a notebook and a shell show them."""

from collections.abc import Sequence
from dataclasses import FrozenInstanceError

import pytest

from fedmq.researcher.reports import ExperimentReports
from tests.unit.cli.reports import make_report

LUNG = make_report("training", experiment="lung-1", reason="2 of 3; waiting for <b>&\nchu-lyon")
LIVER = make_report("finished", experiment="liver-pfs-2", num_rounds=10)
BOTH = ExperimentReports((LUNG, LIVER))


def test_they_are_a_sequence_of_reports() -> None:
    """Whoever went through the list goes on doing so; a part of it is such a sequence too."""
    assert isinstance(BOTH, Sequence)
    assert list(BOTH) == [LUNG, LIVER]
    assert (len(BOTH), BOTH[-1], BOTH[1:]) == (2, LIVER, ExperimentReports((LIVER,)))
    assert LUNG in BOTH
    assert not ExperimentReports()


def test_they_do_not_change() -> None:
    """They say how things stood when they were asked for."""
    with pytest.raises(FrozenInstanceError):
        BOTH.reports = ()  # type: ignore[misc]


def test_they_read_as_a_table() -> None:
    """Printed, and where a shell shows a value."""
    assert str(BOTH).splitlines() == [
        "experiment   state     round    reason",
        "lung-1       training  0 of 2   2 of 3; waiting for <b>& chu-lyon",
        "liver-pfs-2  finished  0 of 10",
    ]
    assert repr(BOTH) == str(BOTH)
    assert str(ExperimentReports()) == "no experiments"


def test_a_notebook_shows_a_table_and_no_markup_of_others() -> None:
    """Reasons come from elsewhere: they are text."""
    shown = BOTH._repr_html_()
    assert shown.startswith("<table><tr><th>experiment</th><th>state</th>")
    assert shown.count("<tr>") == 3
    assert "<td>2 of 3; waiting for &lt;b&gt;&amp; chu-lyon</td>" in shown
    assert "<b>" not in shown
    assert ExperimentReports()._repr_html_() == "<p>no experiments</p>"
