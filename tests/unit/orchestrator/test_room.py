"""A round begins only where the disk holds what it brings; the others go on meanwhile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedmq.orchestrator.state import Experiment, Stage
from fedmq.transport.home import RESERVE_BYTES
from fedmq.types import ExperimentId
from tests.unit.orchestrator.arithmetic import LUNG, LYON, NODES, make_spec
from tests.unit.orchestrator.federation import World

LIVER = ExperimentId("liver")
WAITS = "the orchestrator's disk has no room for a round: 17 MB needed"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def run_until(world: World, happened: Callable[[Experiment], bool]) -> None:
    """Go on step by step until something happened in an experiment, and no further."""
    while not world.leads() or not happened(world.leads()[0].state):
        world.step()


def room_of_a_round(world: World) -> int:
    """Return what a round of all nodes needs."""
    (lead, *_) = world.leads()
    return RESERVE_BYTES + (len(NODES) + 2) * lead.state.model.size_bytes


def test_the_first_round_waits_for_room_and_begins_by_itself(world: World) -> None:
    """Nobody is asked to train before; its reason says what is needed."""
    world.free_bytes = RESERVE_BYTES
    world.ada.submit(make_spec(rounds=2), LUNG)
    world.run(seconds=60)
    report = world.ada.report()
    assert (report.state, report.round) == ("preparing", 0)
    assert report.reason.startswith(WAITS)
    world.free_bytes = room_of_a_round(world) - 1
    world.run(seconds=10)
    assert world.ada.report().round == 0
    world.free_bytes += 1
    world.run_until_over(LUNG)
    assert world.ada.report().state == "finished"


@pytest.mark.parametrize("evaluate", [True, False])
@pytest.mark.parametrize("is_killed", [True, False])
def test_a_later_round_waits_for_room_whoever_dies_meanwhile(
    world: World, *, evaluate: bool, is_killed: bool
) -> None:
    """The round before is closed, its record and model kept; models are those of any other run."""
    world.ada.submit(make_spec(rounds=2, evaluate=evaluate), LUNG)
    run_until(world, lambda state: state.round == 1)
    world.free_bytes = 0
    world.run(seconds=20)
    (lead,) = world.leads()
    assert (lead.state.stage, lead.state.round) == (Stage.EVALUATING, 1)
    assert [record.round for record in world.records()] == [1]
    if is_killed:
        world.die()
        world.live()
        world.run(seconds=20)
    assert world.ada.report().reason == WAITS
    world.free_bytes = room_of_a_round(world)
    world.run_until_over(LUNG)
    assert [record.round for record in world.records()] == [1, 2]
    assert world.ada.report().state == "finished"


def test_an_experiment_without_room_holds_up_no_other(world: World) -> None:
    """One is in its only round when the room goes, the other before it."""
    world.ada.submit(make_spec(rounds=1), LIVER)
    run_until(world, lambda state: state.round == 1)
    world.free_bytes = 0
    world.ada.submit(make_spec(rounds=1), LUNG)
    world.run_until_over(LIVER)
    assert world.ada.report(LIVER).state == "finished"
    assert world.ada.report(LUNG).reason.startswith(WAITS)


def test_room_that_another_round_still_takes_is_not_given_away(world: World) -> None:
    """The disk has room for a round and one file; an update of the first experiment is to come."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec(rounds=1, quorum=2, deadline_s=30.0), LIVER)
    run_until(world, lambda state: len(state.trained) == len(NODES) - 1)
    world.free_bytes = room_of_a_round(world) + world.leads()[0].state.model.size_bytes
    world.ada.submit(make_spec(rounds=1), LUNG)
    world.run(seconds=10)
    liver, lung = world.leads()
    assert (liver.state.stage, lung.state.round) == (Stage.TRAINING, 0)
    assert world.ada.report(LUNG).reason.startswith(WAITS)
    world.run_until_over(LIVER)
    assert world.ada.report(LIVER).state == "finished_short"
    assert lung.state.round == 1


def test_updates_that_are_removed_in_a_moment_take_no_room_of_the_next_round(world: World) -> None:
    """A disk that holds one round's files at a time is enough."""
    world.ada.submit(make_spec(rounds=2, evaluate=False), LUNG)
    run_until(world, lambda state: state.round == 1)
    needed = room_of_a_round(world)
    world.free_bytes = needed - len(NODES) * world.leads()[0].state.model.size_bytes
    world.run_until_over(LUNG)
    assert world.ada.report().state == "finished"
