"""What a researcher is told when no answer comes."""

import pytest

from fedmq.researcher.silence import Readers, explain_silence
from fedmq.types import ORCHESTRATOR


@pytest.mark.parametrize(
    ("readers", "why", "fix"),
    [
        (Readers(of_submissions=0, of_answers=1), "not running", "fedmq orchestrator start"),
        # Nobody could answer: who reads the answers does not matter.
        (Readers(of_submissions=0, of_answers=2), "not running", "fedmq orchestrator start"),
        (Readers(of_submissions=1, of_answers=2), "another home", "fedmq hub add-researcher NAME"),
        (Readers(of_answers=2), "another home", "fedmq hub add-researcher NAME"),
    ],
)
def test_what_the_broker_knows_decides_which_it_is(readers: Readers, why: str, fix: str) -> None:
    """One cause, and the fix of that one alone."""
    error = explain_silence({ORCHESTRATOR: readers})
    assert why in error.why
    assert fix in error.fix
    assert ("orchestrator start" in error.fix) == (why == "not running")


@pytest.mark.parametrize("readers", [Readers(), Readers(of_submissions=1, of_answers=1)])
def test_where_it_cannot_be_told_both_causes_are_named(readers: Readers) -> None:
    """An orchestrator may be busy, a queue may count its active reader alone."""
    error = explain_silence({ORCHESTRATOR: readers})
    assert error.what == "the orchestrator does not answer"
    assert "not running" in error.why
    assert "another home" in error.why
    assert "use the same home" in error.fix
    assert "fedmq orchestrator start" in error.fix


def test_who_is_silent_is_named_where_there_are_several() -> None:
    """One that runs may be busy; if none of them does, that is the cause."""
    away, there = Readers(of_submissions=0), Readers(of_submissions=1)
    error = explain_silence({"hub-a": away, "hub-b": there})
    assert error.what == "no answer from hub-a, hub-b"
    assert "or busy" in error.why
    assert "or busy" not in explain_silence({"hub-a": away, "hub-b": away}).why
