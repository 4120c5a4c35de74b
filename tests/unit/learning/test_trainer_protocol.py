"""The lines between a node and its trainer: each comes back as it was, all else is no line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq import __version__
from fedmq.errors import TrainingError
from fedmq.imaging.baseline import BaselineRule, Pick
from fedmq.imaging.layouts.data_map import DataMap, Layout
from fedmq.learning.trainer_protocol import (
    MAX_LINE_BYTES,
    Answer,
    Broken,
    Done,
    Job,
    JobKind,
    Progress,
    answer_line,
    fitting_text,
    job_line,
    parse_answer,
    parse_job,
    version_fault,
)
from fedmq.messages.replies import FailureCode


def a_job(**changes: object) -> Job:
    """Return a job with every kind of value in its config."""
    values: dict[str, object] = {
        "job_id": "job-1",
        "kind": JobKind.TRAIN,
        "plan_name": "clinical-logistic",
        "plan_digest": "0" * 64,
        "source_path": None,
        "config": {"rate": 1.0, "epochs": 1, "is_fast": True, "columns": ["âge", "sex"]},
        "dataset_folder": "/data/Müller & co\n",
        "clinical": None,
        "spoiled": (("case-1", "PET"),),
        "withdrawn": (),
        "parameters_path": "/run/in",
        "output_path": "/run/out",
        "seed": 2**63 - 1,
        "round": 1,
        "split_seed": 7,
        "validation_share": 0.2,
        "num_threads": 1,
    }
    return Job(**(values | changes))  # type: ignore[arg-type]


DONE = Done(
    job_id="job-1",
    num_cases=3,
    metrics={"loss": (0.1 + 0.2, 3.0)},
    num_training_cases=3,
    num_validation_cases=1,
    num_cases_left_out=2,
)


def test_a_job_comes_back_as_it_was_written() -> None:
    """One line, and the same values with the same types."""
    data_map = DataMap(
        layout=Layout.HECKTOR,
        volumes={"PET": ("{case}__PT.nii*", "imagesTr/{case}__PT.nii*")},
        aliases={"7": "Zoé 007"},
        baseline=BaselineRule(pick=Pick.FIRST, window_days=(-42, 0)),
    )
    line = job_line(a_job(data_map=data_map))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    job = parse_job(line)
    assert job == a_job(data_map=data_map)
    assert [type(value) for value in job.config.values()] == [float, int, bool, list]


@pytest.mark.parametrize(
    "answer",
    [
        Progress(job_id="job-1", share=1 / 3, text="epoch 1/3\r\n\x00 ✓"),
        DONE,
        Broken(job_id="job-1", code=FailureCode.OUT_OF_MEMORY, what="no\nroom"),
    ],
    ids=lambda answer: type(answer).__name__,
)
def test_an_answer_comes_back_as_it_was_written(answer: Answer) -> None:
    """One line, and an equal answer of the same class."""
    line = answer_line(answer)
    assert line.count(b"\n") == 1
    assert parse_answer(line) == answer


@pytest.mark.parametrize(
    "changes",
    [
        {"share": 1.5},
        {"share": "0.5"},
        {"text": "x" * 201},
        {"surplus": 1},
        {"job_id": None},
    ],
    ids=str,
)
def test_a_field_beyond_its_bounds_makes_no_answer(changes: dict[str, object]) -> None:
    """Types are strict, limits hold, nothing is added."""
    fields = {"job_id": "a", "share": 0.5, "text": "epoch"}
    assert parse_answer(json.dumps(fields).encode() + b"\n") is not None
    assert parse_answer(json.dumps(fields | changes).encode() + b"\n") is None


def test_a_job_of_another_version_is_answered_with_both_versions() -> None:
    """Whatever else that version writes: the operator is told what to do."""
    fields = {"job_id": "job-1", "version": "0.0.9", "kind": "dream", "surplus": [1]}
    fault = version_fault(json.dumps(fields).encode() + b"\n")
    assert fault == Broken(
        job_id="job-1",
        code=FailureCode.WORKER_DIED,
        what=f"the node runs fedmq 0.0.9, its trainer {__version__}: start the node again",
    )


def test_a_job_of_the_same_version_and_what_is_no_job_have_no_fault_of_version() -> None:
    """A job says the version of who wrote it; a line without one says nothing."""
    assert version_fault(job_line(a_job())) is None
    assert version_fault(b'{"job_id": "job-1"}\n') is None
    assert version_fault(job_line(a_job(version="0.0.9"))[:-2]) is None


def test_the_fields_of_broken_stay_what_they_were() -> None:
    """A node of another version has to read it, or its operator is told nothing."""
    line = b'{"job_id":"a","code":"worker_died","what":"b"}\n'
    broken = Broken(job_id="a", code=FailureCode.WORKER_DIED, what="b")
    assert answer_line(broken) == line
    assert parse_answer(line) == broken


@pytest.mark.parametrize("number", ["NaN", "Infinity", "null", "1e999"])
def test_a_metric_that_is_no_number_makes_no_answer(number: str) -> None:
    """What a message could not carry does not come out of the trainer."""
    line = answer_line(DONE)
    assert line.count(b"0.30000000000000004") == 1
    assert parse_answer(line.replace(b"0.30000000000000004", number.encode())) is None


@given(st.binary(max_size=200))
def test_bytes_at_random_are_no_line(noise: bytes) -> None:
    """Whatever comes, the answer is None and not an exception."""
    assert parse_job(noise + b"\n") is None
    assert version_fault(noise + b"\n") is None
    assert parse_answer(noise + b"\n") is None


def test_a_line_cut_off_or_too_long_is_none() -> None:
    """A child that dies in the middle of a line has said nothing."""
    line = answer_line(DONE)
    assert all(parse_answer(line[:size]) is None for size in range(len(line)))
    padded = b" " * (MAX_LINE_BYTES - len(line)) + line
    assert parse_answer(padded) == DONE
    assert parse_answer(b" " + padded) is None


def test_what_cannot_be_a_line_is_a_training_error() -> None:
    """A path that is not Unicode, and a config beyond the limit, are said to the caller."""
    with pytest.raises(TrainingError, match="cannot be written"):
        job_line(a_job(dataset_folder="/data/\udce9"))
    with pytest.raises(TrainingError, match="too long"):
        job_line(a_job(config={"x": "y" * MAX_LINE_BYTES}))


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_fitting_text_always_fits(text: str) -> None:
    """Whatever a plan reports can be carried."""
    progress = Progress(job_id="a", share=0, text=fitting_text(text))
    assert parse_answer(answer_line(progress)) == progress
