"""Rehearsals: the model is that of plain arithmetic, however many nodes share this process."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.datasets import find_cases, split_cases
from fedmq.learning.trainer_jobs import perform
from fedmq.learning.trainer_protocol import Broken, Job
from fedmq.logs import silence
from fedmq.messages.submissions import ExperimentReport
from fedmq.node.warm_trainers import TrainerKey
from fedmq.parameters import load_parameters
from fedmq.researcher.experiment import Experiment
from fedmq.simulation.rehearsal import Rehearsal
from fedmq.simulation.script import Script, Wishes, write_script
from fedmq.simulation.shared_trainer import Ended
from fedmq.types import NodeId

EXAMPLES = Path(__file__).parents[3] / "examples"
JOB_S = 7.0


class TrainerHere:
    """Does jobs in this process, each in the same virtual time."""

    def perform(self, key: TrainerKey, job: Job) -> tuple[Ended, float]:
        """Return how a job ended."""
        assert (key.dataset, job.num_threads) == ("lung-petct", 1)
        return perform(job, lambda _share, _text: None), JOB_S


Rehearse = Callable[..., tuple[ExperimentReport, Path]]


@pytest.fixture
def broken() -> list[tuple[NodeId, Broken]]:
    """Return what will have broken."""
    return []


@pytest.fixture
def rehearse(tmp_path: Path, broken: list[tuple[NodeId, Broken]]) -> Rehearse:
    """Return what runs a script to its end, and the model."""

    def run(script: Script, name: str = "stage") -> tuple[ExperimentReport, Path]:
        silence()
        rehearsal = Rehearsal(
            script,
            tmp_path / name,
            TrainerHere(),
            lambda node, what: broken.append((node, what)),
        )
        try:
            taken = rehearsal.submit()
            report = taken.wait()
            model = tmp_path / f"{name}.safetensors"
            return report, taken.download(model) if report.records else model
        finally:
            rehearsal.close()

    return run


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return the mean of five nodes' patients."""
    experiment = Experiment.from_toml(EXAMPLES / "mean.toml")
    return write_script(experiment, Wishes(num_nodes=5, num_cases=9), tmp_path)


def test_the_model_is_the_mean_by_hand(script: Script, rehearse: Rehearse) -> None:
    """Of all training cases, in every round; all five nodes make it."""
    report, model = rehearse(script)
    assert report.state == "finished"
    assert [len(record.outcomes) for record in report.records] == [5, 5]
    assert {one.outcome for record in report.records for one in record.outcomes} == {"updated"}
    ages = [
        float(case.clinical["age"])
        for folder in script.folders.values()
        for case in split_cases(find_cases(folder), seed=0)[0]
    ]
    assert load_parameters(model)["mean"] == pytest.approx(np.array([np.mean(ages)]))


def test_the_same_script_gives_the_same_records_and_model(
    script: Script, rehearse: Rehearse
) -> None:
    """To the last bit, and the last virtual second where jobs take the same time."""
    first, second = rehearse(script, "first"), rehearse(script, "second")
    assert first[0] == second[0]
    assert first[1].read_bytes() == second[1].read_bytes()


def test_nodes_work_side_by_side(script: Script, rehearse: Rehearse) -> None:
    """A round lasts as long as one node's training and evaluation, not five times as long."""
    report, _ = rehearse(script)
    for record in report.records:
        assert 2 * JOB_S <= record.duration_s < 3 * JOB_S


def test_a_plan_that_breaks_fails_the_experiment_and_says_where(
    script: Script, rehearse: Rehearse, broken: list[tuple[NodeId, Broken]]
) -> None:
    """Each node's word on it is heard here, though it leaves no real site."""
    (column,) = script.spec.config
    other = replace(script, spec=script.spec.model_copy(update={"config": {column: "nothing"}}))
    report, _ = rehearse(other)
    assert (report.state, report.records) == ("failed", [])
    assert broken
    assert all("nothing" in what.what for _, what in broken)


def test_one_folder_of_ones_own_is_read_and_dealt_out(
    tmp_path: Path, script: Script, rehearse: Rehearse
) -> None:
    """Registered as a node registers it: every file is looked at."""
    source = next(iter(script.folders.values()))
    experiment = Experiment.from_toml(EXAMPLES / "mean.toml")
    wishes = Wishes(num_nodes=3, folders=(source,), rounds=1)
    report, _ = rehearse(write_script(experiment, wishes, tmp_path / "own"))
    assert report.state == "finished"
    (record,) = report.records
    assert sum(one.num_cases for one in record.outcomes) == 6
