"""What a program is doing is told from its steps."""

import pytest

from benchmarks.chaos.phases import Course, Phase, kind_of
from benchmarks.chaos.steps import Note, Side


def note(step: str, at: float = 1.0, side: Side = Side.AFTER, pid: int = 7) -> Note:
    """Return a note."""
    return Note(at=at, pid=pid, side=side, step=step)


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ("write payloads/folding", Phase.FOLD),
        ("link payloads/payload", Phase.FOLD),
        ("rename experiments/rounds.jsonl.part", Phase.FOLD),
        ("write payloads/update", Phase.UPDATE),
        ("sync scratch/output", Phase.UPDATE),
        ("publish payload.chunk", Phase.UPLOAD),
        ("write payloads/payload.part", Phase.RECEIVE),
        ("acknowledge payload.chunk", Phase.RECEIVE),
        ("commit +received +events(trained)", Phase.JOURNAL),
        ("publish receipt", Phase.JOURNAL),
    ],
)
def test_a_step_belongs_to_a_phase(step: str, phase: Phase) -> None:
    """By its name."""
    assert kind_of(step) is phase


def test_a_program_in_the_middle_of_a_step_is_at_it_however_long_that_takes() -> None:
    """A stopped one too."""
    course = Course()
    course.take(note("write payloads/update", side=Side.BEFORE))
    assert course.phase(7, 100.0) is Phase.UPDATE


def test_a_node_trains_from_the_start_of_a_task_to_its_output() -> None:
    """Between them it takes no step; a life later the task is still in hand."""
    course = Course()
    course.take(note("commit =tasks(started)"))
    assert course.phase(7, 5.0) is Phase.TRAIN
    course.take(note("publish hello", at=6.0, pid=8))
    assert course.phase(8, 9.0) is Phase.TRAIN
    course.take(note("sync scratch/output", at=10.0, pid=8))
    assert course.phase(8, 11.0) is Phase.WAIT


def test_a_process_that_has_taken_no_step_starts() -> None:
    """What an earlier one noted says nothing of it."""
    course = Course()
    assert course.phase(7, 1.0) is Phase.START
    course.take(note("publish hello"))
    assert course.phase(8, 1.0) is Phase.START
