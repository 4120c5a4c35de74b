"""What a node without room needs to go on, and that it answers nothing before."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import DiskFull
from fedmq.messages.notices import Activity
from fedmq.messages.replies import Failure, FailureCode, TrainReply
from fedmq.node.needs import read_room, read_signs
from fedmq.transport.home import RESERVE_BYTES, LocalHome
from tests.unit.node.world import World


class FullHome(LocalHome):
    """A home on a disk without room."""

    def has_room(self, size_bytes: int) -> bool:
        """Say no."""
        assert size_bytes >= RESERVE_BYTES
        return False


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation whose node has agreed."""
    made = World(tmp_path)
    made.model = made.orchestrator.make_model({"w": np.zeros(1_000, np.float32)})
    made.agree()
    yield made
    made.close()


def needed_bytes(world: World) -> int:
    """Return what the node needs beside the reserve."""
    return read_room(LocalHome(world.home)).needed_bytes - RESERVE_BYTES


def test_a_node_needs_the_model_that_comes_then_what_training_makes(world: World) -> None:
    """Trained parameters and an update, each as large as the model; nothing once it is sent."""
    size = world.model.size_bytes
    needs = [needed_bytes(world)]
    world.train(is_pushed=False, num_steps=4)
    needs.append(needed_bytes(world))
    world.run(seconds=30)
    needs.append(needed_bytes(world))
    world.done()
    world.settle()
    needs.append(needed_bytes(world))
    assert needs == [0, size, 2 * size, 0]


@pytest.mark.parametrize("code", [FailureCode.DISK_FULL, FailureCode.WORKER_DIED])
def test_a_task_that_found_no_room_is_not_answered_and_done_again(
    world: World, code: FailureCode
) -> None:
    """The life ends there; the next one begins the task anew, and nobody hears of it."""
    world.train()
    num_answers = len(world.orchestrator.answers)
    world.service._storage._home = FullHome(world.home)
    with pytest.raises(DiskFull):
        world.broken(code)
    (sign,) = read_signs(LocalHome(world.home), "1")
    assert (sign.activity, sign.num_waiting) == (Activity.DISK_FULL, 1)
    world.die()
    world.live()
    world.run(seconds=6)
    assert len(world.orchestrator.answers) == num_answers
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_a_task_that_broke_with_room_on_the_disk_is_a_failure(world: World) -> None:
    """A plan that writes more than any disk holds is not tried for ever."""
    world.train()
    world.broken(FailureCode.DISK_FULL)
    answer = world.orchestrator.answers[-1]
    assert isinstance(answer, Failure)
    assert answer.code is FailureCode.DISK_FULL


def test_an_update_that_finds_no_room_is_made_in_the_next_life(world: World) -> None:
    """What was trained stays, and nothing half made."""
    world.train()
    spool = world.service._storage.spool
    write = spool._disk.write

    def refuse(name: str, offset: int, data: bytes | memoryview) -> None:
        if offset:
            raise DiskFull("there is no room")
        write(name, offset, data)

    spool._disk.write = refuse  # type: ignore[method-assign]
    with pytest.raises(DiskFull):
        world.done()
    assert not [name for name in world.files("payloads") if "update" in name]
    world.die()
    num_trained = world.num_trained
    world.live()
    world.settle()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    assert world.num_trained == num_trained
