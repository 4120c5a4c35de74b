"""What a node tells orchestrators of its data: as its policy lets it, and again when it changes."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import StorageError
from fedmq.imaging.dictionary.model import Meaning
from fedmq.messages.data import MAX_SUMMARIES
from fedmq.messages.envelope import Envelope
from fedmq.node.datasets import Dataset
from fedmq.node.policy import Objection
from fedmq.node.reception import Reception
from fedmq.node.records import open_records
from fedmq.node.summaries import Findings
from fedmq.node.terms import Request
from fedmq.transport.home import LocalHome
from tests.unit.imaging.dictionary.examples import lung
from tests.unit.node.world import DATASET, RELAXED, World

FINE = (2.0, 2.0, 3.0)


def findings(num_cases: int) -> Findings:
    """Return what is found where all cases have a PET."""
    ranges = {"PET": (FINE, FINE)}
    return Findings(num_cases=num_cases, num_with={"PET": num_cases}, spacing_mm=ranges)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a hospital and two orchestrators."""
    made = World(tmp_path, others=["second"])
    yield made
    made.close()


def finds(world: World, num_cases: int) -> None:
    """The operator's command found so many cases, all with a PET."""
    records = open_records(LocalHome(world.home))
    with records.journal.transaction():
        records.datasets.found.keep(DATASET, findings(num_cases))
    records.close()


def test_all_orchestrators_are_told_at_once_and_once(world: World) -> None:
    """Beside the service another program finds something; nobody is told again what is the same."""
    (second,) = world.others
    before = [len(one.told) for one in (world.orchestrator, second)]
    finds(world, 40)
    world.run(seconds=30)
    for one, num_before in zip((world.orchestrator, second), before, strict=True):
        assert len(one.told) == num_before + 1
        ((told,),) = one.told[num_before:]
        assert (told.dataset, told.num_cases, told.modalities[0].num_cases) == (DATASET, 40, 40)
        assert told.dictionary is None


def test_the_policy_says_what_is_told(world: World) -> None:
    """Another least cell, or nothing at all, while the node runs."""
    finds(world, 40)
    world.policy = replace(RELAXED, least_cell=50)
    world.run(seconds=3)
    assert world.orchestrator.told[-1][0].num_cases is None
    assert world.orchestrator.told[-1][0].least_cell == 50
    world.policy = replace(RELAXED, tells_data=False)
    world.run(seconds=3)
    assert world.orchestrator.told[-1] == []


def test_of_more_datasets_than_fit_the_first_are_told(world: World) -> None:
    """The node goes on; one that is removed makes room for the next."""
    records = open_records(LocalHome(world.home))
    names = sorted(f"d{number:03}" for number in range(MAX_SUMMARIES))
    with records.journal.transaction():
        for name in names:
            records.datasets.register(
                Dataset(name=name, folder=world.home, clinical=None, num_cases=40, added_at=0.0)
            )
            records.datasets.found.keep(name, findings(40))
        records.datasets.found.keep(DATASET, findings(40))
    world.run(seconds=3)
    assert [one.dataset for one in world.orchestrator.told[-1]] == names
    records.datasets.remove(names[0])
    records.close()
    world.run(seconds=3)
    assert [one.dataset for one in world.orchestrator.told[-1]] == [*names[1:], DATASET]


def test_a_job_reads_its_data_by_the_dictionary_that_was_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command that sets one in between has to wait."""
    world.agree()
    other = open_records(LocalHome(world.home))
    other.journal.execute("PRAGMA busy_timeout = 0")
    judge, judged = Reception.judge, []

    def judge_and_set(self: Reception, envelope: Envelope, request: Request) -> Objection | None:
        judged.append(self._records.datasets.meanings.of(DATASET))
        objection = judge(self, envelope, request)
        variables = {f"x{len(judged)}": {"type": "number"}}
        meaning = Meaning(dictionary=lung(variables=variables, endpoint=None))
        with contextlib.suppress(StorageError):  # it is locked
            other.datasets.meanings.keep(DATASET, meaning)
        return objection

    monkeypatch.setattr(Reception, "judge", judge_and_set)
    world.train()
    other.close()
    assert judged
    read_by = world.job.meaning
    assert (None if read_by is None else Meaning.model_validate_json(read_by)) == judged[-1]


def test_the_dictionary_is_told_by_name_and_digest(world: World) -> None:
    """So that researchers see whose data mean the same."""
    finds(world, 40)
    meaning = Meaning(dictionary=lung(variables={"x": {"type": "number"}}, endpoint=None))
    records = open_records(LocalHome(world.home))
    with records.journal.transaction():
        records.datasets.meanings.keep(DATASET, meaning)
    records.close()
    world.run(seconds=3)
    (told,) = world.orchestrator.told[-1]
    assert told.dictionary is not None
    assert told.dictionary.digest == meaning.dictionary.digest
