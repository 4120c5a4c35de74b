"""What a node tells orchestrators of its data: as its policy lets it, and again when it changes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.imaging.dictionary.model import Meaning
from fedmq.node.records import open_records
from fedmq.node.summaries import find
from fedmq.transport.home import LocalHome
from tests.unit.imaging.dictionary.examples import lung
from tests.unit.node.world import DATASET, RELAXED, World

FINE = (2.0, 2.0, 3.0)


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
        records.found.keep(DATASET, find(num_cases, {"PET": [FINE] * num_cases}))
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
