"""What a node needs no more goes between two lives, and its work goes on as if it had stayed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fedmq.messages.replies import TrainReply
from fedmq.node.disused import LEFTOVERS, OUTPUTS, UNSENT, find_disused
from fedmq.transport.disused import free
from fedmq.transport.home import LocalHome
from fedmq.transport.retention import Retention
from tests.support.clock import FakeClock
from tests.unit.node.world import LUNG, World

NEVER_NEEDED = ("a" * 64, f"{'b' * 64}.8-4.part", "lung.9.0.update")
OF_WHAT_IS_OVER = ("liver.1.0.0", "liver.2.0.0.part")
OF_NO_TASK = ("lung.9.0.output", "lung.9.0.output.part")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation whose node has agreed."""
    made = World(tmp_path)
    made.model = made.orchestrator.make_model({"w": np.zeros(1_000, np.float32)})
    made.agree()
    yield made
    made.close()


def free_between_lives(world: World) -> list[tuple[str, str]]:
    """End a life, free what it left and what a crash may have left, begin another; return what."""
    world.die()
    leftovers = {
        "payloads": NEVER_NEEDED,
        "scratch": OF_NO_TASK,
        "residuals": OF_WHAT_IS_OVER,
    }
    for folder, names in leftovers.items():
        for name in names:
            LocalHome(world.home).disk(folder).write(name, 0, b"x")
    home = LocalHome(world.home)
    found = find_disused(home)
    free(home, found, retention=Retention(), clock=FakeClock(lambda: world.now))
    assert find_disused(home).files == ()
    world.live()
    return [(file.what, file.name) for file in found.files]


def half_a_model(world: World) -> None:
    """Take the order, and await its model."""
    world.train(is_pushed=False, num_steps=4)


def in_training(world: World) -> None:
    """Begin."""
    world.train()


def trained_and_unsent(world: World) -> None:
    """Train where nobody hears of it: the update waits in the outbox."""
    world.train()
    world.transport.disconnect()
    world.done()


@pytest.mark.parametrize("begin", [half_a_model, in_training, trained_and_unsent])
def test_only_what_no_task_and_no_reply_needs_goes(
    world: World, begin: Callable[[World], None]
) -> None:
    """The update comes to the orchestrator nevertheless, and once."""
    begin(world)
    assert sorted(free_between_lives(world)) == sorted(
        [
            *((LEFTOVERS, one) for one in NEVER_NEEDED),
            *((OUTPUTS, one) for one in OF_NO_TASK),
            *((UNSENT, one) for one in OF_WHAT_IS_OVER),
        ]
    )
    world.is_answering = True
    if begin is not trained_and_unsent:
        world.run(seconds=30)
        if not any(isinstance(one, TrainReply) for one in world.orchestrator.answers):
            world.done()
    world.settle()
    answers = [one for one in world.orchestrator.answers if isinstance(one, TrainReply)]
    assert [one.num_cases for one in answers] == [4]
    assert world.orchestrator.courier.spool.has(answers[0].update.digest)


def test_what_was_trained_and_is_not_answered_stays(world: World) -> None:
    """Parameters of a task that is done are not trained again."""
    world.train()
    name = "lung.1.0.output"
    LocalHome(world.home).disk("scratch").write(name, 0, b"x")
    assert name not in [one for _, one in free_between_lives(world)]


def test_the_ids_of_an_experiment_that_is_over_go(world: World) -> None:
    """And a request of it that comes again is still not run."""
    world.train()
    world.done()
    world.settle()
    world.over()
    num_trained = world.num_trained
    free_between_lives(world)
    left = world.service._records.journal.rows("SELECT experiment FROM received")
    assert str(LUNG) not in [row[0] for row in left]
    world.train()
    world.run(seconds=5)
    assert world.num_trained == num_trained
