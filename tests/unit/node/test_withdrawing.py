"""Withdrawn cases: in no later round, whatever was under way, and told with what they entered."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from fedmq.errors import ConfigurationError
from fedmq.imaging.baseline import BaselineRule
from fedmq.imaging.dictionary.model import Meaning
from fedmq.imaging.layouts.data_map import DataMap
from fedmq.learning.trainer_protocol import JobKind
from fedmq.messages.replies import EvaluateReply, PrepareReply, Refusal, RefusalCode, TrainReply
from fedmq.node.audit_facts import CaseWithdrawn, TrainingDone
from fedmq.node.audit_verify import verify_records
from fedmq.node.datasets import Datasets
from fedmq.node.records import Records, open_records
from fedmq.node.withdrawing import withdraw_case
from fedmq.transport.home import LocalHome
from tests.support.layouts import put_hecktor
from tests.support.tiny_plan import write_cases
from tests.unit.imaging.dictionary.examples import lung
from tests.unit.node.world import DATASET, LIVER, LUNG, Killed, World, cases_of

TRAINS: Final = "case-2"
VALIDATES: Final = "case-5"
"""By the world's seed and share; `test_the_world_is_split_as_these_tests_think` holds it."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation whose node has agreed."""
    made = World(tmp_path)
    made.agree()
    yield made
    made.close()


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    """Return the records of a node with a dataset of five cases."""
    made = open_records(LocalHome(tmp_path / "home"), by="ann")
    made.datasets.add(DATASET, write_cases(tmp_path / "cases", 5), now=0.0)
    yield made
    made.close()


def trainings(world: World) -> list[TrainingDone]:
    """Return what the log tells of training."""
    return list(world.service._records.audit.facts(TrainingDone))


def used(world: World, training: TrainingDone) -> set[str]:
    """Return the names of the cases of an update."""
    lists = world.service._records.case_lists
    names = [f"case-{number}" for number in range(1, 6)]
    return {name for name in names if lists.has(training.cases, lists.hash_of(DATASET, name))}


def test_the_world_is_split_as_these_tests_think(world: World) -> None:
    """One case trains, another validates."""
    world.train()
    assert TRAINS in cases_of(world.job)
    assert VALIDATES not in cases_of(world.job)


# What a round has.


def test_a_withdrawn_case_is_in_no_later_training_evaluation_or_count(world: World) -> None:
    """The jobs name it as gone, with what it had, and the number of cases is one less."""
    world.withdraw(TRAINS)
    world.train()
    assert world.job.withdrawn == ((TRAINS, ()),)
    world.done()
    world.evaluate()
    assert world.job.withdrawn == ((TRAINS, ()),)
    world.done()
    world.prepare(LIVER)
    assert world.job.withdrawn == ((TRAINS, ()),)
    (training,) = trainings(world)
    assert TRAINS not in used(world, training)
    dataset = world.service._records.datasets.find(DATASET)
    assert dataset is not None
    assert dataset.num_cases == 4


def test_a_task_that_waits_is_done_with_what_is_left(world: World) -> None:
    """It was accepted before the withdrawal, and begins after it."""
    world.train()
    world.train(experiment=LIVER)
    world.withdraw(TRAINS)
    world.agree(LIVER)
    world.done()
    world.run(seconds=2)
    while world.rows("tasks"):
        world.done()
    assert trainings(world)
    assert all(TRAINS not in used(world, one) for one in trainings(world))


def test_a_task_in_hand_is_begun_again_without_the_case(world: World) -> None:
    """Its process, which has the case in memory, is ended."""
    world.train()
    before = world.job
    assert TRAINS in cases_of(before)
    world.withdraw(TRAINS)
    world.run(seconds=2)
    assert world.worker.num_cancelled == 1
    assert world.job.job_id == before.job_id
    assert world.job.withdrawn == ((TRAINS, ()),)
    world.done()
    (training,) = trainings(world)
    assert used(world, training) == set(cases_of(before)) - {TRAINS}


@pytest.mark.parametrize("kind", [JobKind.TRAIN, JobKind.EVALUATE, JobKind.PREPARE])
def test_what_was_done_with_the_case_a_moment_before_is_done_again(
    world: World, kind: JobKind
) -> None:
    """Nothing is answered after the withdrawal that the case has a part in, not by a second."""
    {
        JobKind.TRAIN: world.train,
        JobKind.EVALUATE: world.evaluate,
        JobKind.PREPARE: lambda: world.prepare(LIVER),
    }[kind]()
    job = world.job
    num_answers = len(world.orchestrator.answers)
    world.withdraw(TRAINS)
    world.done(job)
    assert len(world.orchestrator.answers) == num_answers
    assert world.job is not job
    assert (world.job.job_id, world.job.withdrawn) == (job.job_id, ((TRAINS, ()),))
    world.done()
    world.run(seconds=2)
    expected = {
        JobKind.TRAIN: TrainReply,
        JobKind.EVALUATE: EvaluateReply,
        JobKind.PREPARE: PrepareReply,
    }
    assert isinstance(world.orchestrator.answers[num_answers], expected[kind])
    assert world.files("scratch") == []


def test_an_update_that_waits_for_its_answer_when_the_node_dies_is_made_again(
    world: World,
) -> None:
    """Trained before the kill, with the case; withdrawn while the node is away."""
    for calls in range(1, 6):
        world.train(calls)
        world.calls_left = calls
        try:
            world.done()
        except Killed:
            world.die()
            if world_has_case(world):
                world.withdraw(TRAINS)
            world.live()
            world.run(seconds=2)
            if world.rows("tasks"):
                world.done()
        world.calls_left = None
        world.run(seconds=2)
    assert trainings(world)
    assert all(TRAINS not in used(world, one) for one in trainings(world))


def world_has_case(world: World) -> bool:
    """Return whether the case of these tests is not withdrawn yet."""
    records = open_records(LocalHome(world.home))
    names = records.withdrawals.names(DATASET)
    records.close()
    return TRAINS not in names


def test_trainers_that_wait_end_with_a_case_that_they_may_hold(world: World) -> None:
    """Those of the dataset, once; without a withdrawal none is ended."""
    world.train()
    world.done()
    world.run(seconds=3)
    assert world.worker.ended_datasets == []
    world.withdraw(TRAINS)
    world.run(seconds=3)
    assert world.worker.ended_datasets == [DATASET]
    world.train(2)
    world.done()
    world.run(seconds=3)
    assert world.worker.ended_datasets == [DATASET]


def test_trainers_end_before_the_next_task_begins(world: World) -> None:
    """Also where that comes at once: the trainer is not used again, and not only replaced."""
    world.train()
    world.done()
    world.withdraw(TRAINS)
    world.train(2)
    assert world.worker.ended_datasets == [DATASET]
    assert world.job.withdrawn == ((TRAINS, ()),)


def test_withdrawals_outlive_the_life_in_which_they_were_made(world: World) -> None:
    """They are on the disk."""
    world.withdraw(TRAINS)
    world.die()
    world.live()
    world.train()
    world.run(seconds=5)
    assert world.job.withdrawn == ((TRAINS, ()),)


# How the dataset is read.


def test_a_job_has_the_map_of_its_dataset_and_the_dictionarys_baseline(world: World) -> None:
    """As they stand in the journal when it begins."""
    datasets = world.service._records.datasets
    own = DataMap(aliases={"7": "case-2"})
    datasets._keep_map(DATASET, own)
    world.train()
    assert world.job.data_map == own
    world.done()
    datasets.meanings.keep(DATASET, Meaning(dictionary=lung()))
    world.train(2)
    rule = BaselineRule(window_days=(-42, 0))
    assert world.job.data_map == replace(own, baseline=rule)


# Too few.


def test_too_few_cases_left_are_refused(tmp_path: Path) -> None:
    """By the number of the dataset, for what waits and for what comes."""
    world = World(tmp_path)
    world.policy = replace(world.policy, min_cases=5)
    world.agree()
    world.train()
    world.withdraw(TRAINS)
    world.run(seconds=2)
    refusal = Refusal(code=RefusalCode.TOO_FEW_CASES, request_type="train.request")
    assert world.orchestrator.answers[-1] == refusal
    world.train(2)
    assert world.orchestrator.answers[-1] == refusal
    assert world.rows("tasks") == 0
    world.close()


def test_no_case_left_to_train_is_too_few(world: World) -> None:
    """The trainer says that all of its training cases are gone."""
    world.train()
    job = world.job
    world.take(
        world.finished(job, num_cases=0, num_training_cases=0),
    )
    world.run()
    assert world.orchestrator.answers[-1] == Refusal(
        code=RefusalCode.TOO_FEW_CASES, request_type="train.request"
    )


def test_a_case_of_a_flat_layout_is_withdrawn_by_its_name(records: Records, tmp_path: Path) -> None:
    """With the volumes that it had fit; counted out, and found no more; others stay."""
    put_hecktor(tmp_path / "flat")
    (tmp_path / "flat" / "imagesTr" / "CHUM-002__CT.nii.gz").write_bytes(b"damaged")
    records.datasets.add("flat", tmp_path / "flat", now=0.0)
    done = withdraw_case(records, "flat", "CHUM-002", reason="", now=1.0)
    assert done.num_cases == 2
    (known,) = records.withdrawals.of("flat")
    assert known.modalities == ("MASK", "PET")
    cases = records.datasets.check("flat").cases
    assert [case.case_id for case in cases] == ["CHUM-010", "CHUP-001"]
    with pytest.raises(ConfigurationError, match="no case imagesTr"):
        withdraw_case(records, "flat", "imagesTr", reason="", now=1.0)
    assert withdraw_case(records, DATASET, TRAINS, reason="", now=1.0).also_in == ()


# What it had entered.


def test_the_models_that_a_case_had_entered_are_told_and_logged(world: World) -> None:
    """A round's model is known by what was then evaluated, or what the next round began with."""
    first = world.model
    world.train(1)
    world.done()
    evaluated = world.model = world.orchestrator.make_model({"w": np.ones(3, np.float32)})
    world.evaluate(1)
    world.done()
    world.train(2)
    world.done()
    world.agree(LIVER)
    world.train(1, experiment=LIVER)
    world.done()
    done = world.withdraw(TRAINS)
    assert [(one.experiment, one.round, one.model) for one in done.models] == [
        (LUNG, 1, evaluated.digest),
        (LUNG, 2, ""),
        (LIVER, 1, ""),
    ]
    assert [one.update for one in done.models] == [one.update for one in trainings(world)]
    assert trainings(world)[0].model == first.digest
    (fact,) = world.service._records.audit.facts(CaseWithdrawn)
    assert (fact.models, fact.by, fact.case) == (done.models, "ann", done.case_hash)
    assert verify_records(world.service._records).fault is None


def test_a_case_that_only_validated_has_entered_no_model(world: World) -> None:
    """Nor has one that was withdrawn before it could."""
    world.withdraw(TRAINS)
    world.train()
    world.done()
    world.evaluate()
    world.done()
    assert world.withdraw(VALIDATES).models == ()


# Which cases.


def test_withdrawing_twice_says_so_and_writes_nothing(records: Records) -> None:
    """The first reason and time stay."""
    first = withdraw_case(records, DATASET, TRAINS, reason="one", now=1.0)
    head = records.audit.head()
    again = withdraw_case(records, DATASET, TRAINS, reason="two", now=2.0)
    assert (first.is_new, again.is_new) == (True, False)
    assert records.audit.head() == head
    (kept,) = records.withdrawals.of(DATASET)
    assert (kept.reason, kept.at) == ("one", 1.0)
    dataset = records.datasets.find(DATASET)
    assert dataset is not None
    assert dataset.num_cases == 4


@pytest.mark.parametrize("name", ["case-9", "", ".", "..", "../cases", "case-1/", "/"])
def test_a_case_that_was_never_here_is_an_error(records: Records, name: str) -> None:
    """Nothing is written; a name is a name and no path."""
    head = records.audit.head()
    with pytest.raises(ConfigurationError, match="has no case"):
        withdraw_case(records, DATASET, name, reason="", now=1.0)
    with pytest.raises(ConfigurationError, match="there is no dataset other"):
        withdraw_case(records, "other", TRAINS, reason="", now=1.0)
    assert records.audit.head() == head
    assert records.withdrawals.of(DATASET) == ()


def test_a_case_whose_folder_is_gone_is_known_by_the_log(records: Records, tmp_path: Path) -> None:
    """The operator has deleted the files first, and perhaps the registration."""
    (tmp_path / "cases" / TRAINS).rmdir()
    done = withdraw_case(records, DATASET, TRAINS, reason="", now=1.0)
    assert (done.is_new, done.num_cases) == (True, 4)
    records.datasets.remove(DATASET)
    done = withdraw_case(records, DATASET, "case-3", reason="", now=1.0)
    assert (done.is_new, done.num_cases) == (True, None)
    assert records.withdrawals.of(DATASET)[1].modalities == ("CT", "MASK", "PET")


def test_a_dataset_that_is_added_again_or_checked_does_not_have_it(
    records: Records, tmp_path: Path
) -> None:
    """Its files may still lie there; they are not even looked at."""
    (tmp_path / "cases" / TRAINS / "PET.nii.gz").write_bytes(b"no volume")
    withdraw_case(records, DATASET, TRAINS, reason="", now=1.0)

    def names(inspected: list[str]) -> bool:
        return TRAINS in inspected

    check = records.datasets.check(DATASET)
    assert check.findings == ()
    assert not names([case.case_id for case in check.cases])
    records.datasets.remove(DATASET)
    again = records.datasets.add(DATASET, tmp_path / "cases", now=2.0)
    assert not names([case.case_id for case in again.cases])
    assert count(records.datasets) == 4


def test_a_dataset_whose_folder_cannot_be_seen_has_one_less(
    records: Records, tmp_path: Path
) -> None:
    """As a disk that is not mounted: nobody can count again."""
    (tmp_path / "cases").rename(tmp_path / "elsewhere")
    withdraw_case(records, DATASET, TRAINS, reason="", now=1.0)
    assert count(records.datasets) == 4


def test_what_a_case_had_fit_for_use_is_kept(records: Records, tmp_path: Path) -> None:
    """Plans that did not have it in their split do not keep a place for it."""
    folder = tmp_path / "cases" / TRAINS
    (folder / "PET.nii.gz").write_bytes(b"no volume")
    (folder / "CT.nii.gz").write_bytes(b"no volume")
    records.datasets.check(DATASET)
    records.journal.execute("DELETE FROM spoiled WHERE modality = 'CT'")
    withdraw_case(records, DATASET, TRAINS, reason="", now=1.0)
    (kept,) = records.withdrawals.of(DATASET)
    assert kept.modalities == ("CT",)


def test_two_files_for_one_modality_stop_no_withdrawal(records: Records, tmp_path: Path) -> None:
    """Of that case or of another."""
    for case in (TRAINS, "case-3"):
        for name in ("a_PET.nii.gz", "b_PET.nii.gz"):
            (tmp_path / "cases" / case / name).touch()
    assert withdraw_case(records, DATASET, TRAINS, reason="", now=1.0).is_new


def count(datasets: Datasets) -> int:
    """Return how many cases the dataset has."""
    dataset = datasets.find(DATASET)
    assert dataset is not None
    return dataset.num_cases
