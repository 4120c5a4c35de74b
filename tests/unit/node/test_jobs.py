"""What a job is told of its dataset: what the experiment began with, and what is not to be read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.support.layouts import put_scan
from tests.unit.node.world import DATASET, LIVER, World

FIRST = {
    "case-1": {"PET": "case-1/PET.nii.gz"},
    "case-2": {},
    "case-3": {},
    "case-4": {},
    "case-5": {},
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a node whose dataset has five cases, of which one has a PET."""
    world = World(tmp_path)
    put_scan(tmp_path / "cases" / "case-1", names="PET")
    check(world)
    world.agree()
    yield world
    world.close()


def check(world: World) -> None:
    """Check the dataset, as the operator would."""
    world.service._records.datasets.check(DATASET)


def paths(world: World) -> dict[str, dict[str, str]]:
    """Return case -> modality -> path of what the newest job goes on with."""
    assert world.job.intake is not None
    return {
        case: {modality: path for modality, (path, _, _) in volumes.items()}
        for case, volumes in world.job.intake.items()
    }


def test_an_experiment_has_what_it_began_with(world: World, tmp_path: Path) -> None:
    """Through what comes and goes and a restart; a later one has what is there, and is checked."""
    assert paths(world) == FIRST
    put_scan(tmp_path / "cases" / "case-9", names="PET")
    check(world)
    world.die()
    world.live()
    world.run()
    world.train()
    assert paths(world) == FIRST
    world.done()
    world.prepare(LIVER)
    assert paths(world) == {**FIRST, "case-9": {"PET": "case-9/PET.nii.gz"}}


def test_of_what_no_check_has_seen_nothing_is_read(world: World, tmp_path: Path) -> None:
    """Whether it came before the experiment or changed in it; the log has it once."""
    put_scan(tmp_path / "cases" / "case-2", names="PET")
    with capture_logs() as logs:
        world.prepare(LIVER)
        world.done()
        assert (world.job.spoiled, paths(world)) == ((("case-2", "PET"),), FIRST)
        world.train()
        world.done()
        assert world.job.spoiled == (("case-2", "PET"),)
        (tmp_path / "cases" / "case-1" / "PET.nii.gz").write_bytes(b"another")
        world.train(2)
        assert world.job.spoiled == (("case-1", "PET"), ("case-2", "PET"))
        assert paths(world) == FIRST, "it keeps its place"
    told = [one["volumes"] for one in logs if one["event"] == "volumes_unchecked"]
    assert told == [1, 2]


def test_of_a_folder_that_cannot_be_seen_nothing_is_settled(world: World, tmp_path: Path) -> None:
    """A disk that is not mounted when an experiment begins is no intake of no cases."""
    place = (tmp_path / "cases").rename(tmp_path / "elsewhere")
    world.prepare(LIVER)
    assert world.job.intake is None
    place.rename(tmp_path / "cases")
    world.done()
    world.train(experiment=LIVER)
    assert paths(world) == FIRST
