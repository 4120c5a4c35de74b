"""What an orchestrator without room needs to go on, and what it says of its experiments."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.orchestrator.needs import read_room
from fedmq.orchestrator.status import read_signs
from fedmq.transport.home import RESERVE_BYTES, LocalHome, Room
from tests.unit.orchestrator.arithmetic import LUNG, NODES, make_spec
from tests.unit.orchestrator.federation import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def test_an_orchestrator_needs_the_updates_that_miss_and_the_model_of_them(world: World) -> None:
    """For every round under way; beside the reserve nothing before the first."""
    home = LocalHome(world.home)
    last = world.nodes[NODES[-1]]
    assert read_room(home).needed_bytes == RESERVE_BYTES
    world.ada.submit(make_spec(), LUNG)
    last.spoils[1] = "silent"
    world.run(seconds=10)
    (lead,) = world.leads()
    assert len(lead.state.trained) == len(NODES) - 1
    size = lead.state.model.size_bytes
    assert read_room(home).needed_bytes == RESERVE_BYTES + 2 * size


def test_watchers_hear_of_every_experiment_that_it_waits(world: World) -> None:
    """With both numbers; of what is over they hear nothing."""
    home, room = LocalHome(world.home), Room(needed_bytes=30_000_000, free_bytes=2_000_000)
    world.nodes[NODES[-1]].spoils[1] = "silent"
    world.ada.submit(make_spec(quorum=2, deadline_s=100.0), LUNG)
    world.run(seconds=1)
    (overview,) = read_signs(home, "1", room, now=world.now)
    assert [(one.experiment, one.reason) for one in overview.experiments] == [
        (LUNG, "the orchestrator's disk is full: 30 MB needed, 2 MB free")
    ]
    world.run_until_over(LUNG)
    (overview,) = read_signs(home, "1", room, now=world.now)
    assert overview.experiments == []
    assert read_room(home).needed_bytes == RESERVE_BYTES
