"""The orchestrator killed anywhere: the same models, nobody asked twice, nothing left behind.

The oracle is arithmetic in numpy (`models_by_hand`) and the run without a kill.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedmq.messages.submissions import Acceptance, QueryKind
from fedmq.orchestrator.audit_facts import ExperimentAccepted, ExperimentEnded, RoundFolded
from fedmq.orchestrator.leader import LOOK_S
from fedmq.parameters import parameters_bytes
from fedmq.types import ExperimentId
from tests.unit.orchestrator.arithmetic import LUNG, LYON, NODES, PARIS, make_spec, models_by_hand
from tests.unit.orchestrator.federation import Killed, World

MODELS = [parameters_bytes(model) for model in models_by_hand(2)]
SHARDS = 6
"""The kills of a kind are spread over so many tests, which run beside each other."""


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[[str], World]]:
    """Return what makes a federation by name."""
    made: list[World] = []

    def make(name: str) -> World:
        world = World(tmp_path / name)
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


def require_as_without_kills(world: World) -> None:
    """Return if the experiment went as if nothing had happened, and left nothing behind."""
    assert world.service is not None
    assert world.ada.answers["lung.submission"] == Acceptance(experiment=LUNG)
    assert [world.model(number) for number in range(3)] == MODELS
    for node in world.nodes.values():
        assert node.asked_to_prepare == {LUNG: 1}
        assert node.trainings == {(LUNG, 1): 1, (LUNG, 2): 1}
        assert node.evaluations == {(LUNG, 1): 1, (LUNG, 2): 1}
        assert node.over == {LUNG: 1}
    assert world.kept() == {
        "round-0000.safetensors",
        "round-0001.safetensors",
        "round-0002.safetensors",
        "rounds.jsonl",
        "experiment.json",
    }
    assert [record.round for record in world.records()] == [1, 2]
    assert world.outcomes(1) == world.outcomes(2) == dict.fromkeys(NODES, "updated")
    require_sound_log(world)
    # Leftovers are found by two looks.
    for _ in range(2):
        world.now += LOOK_S
        world.run(seconds=1)
    assert world.payloads() == {lead.state.model.digest for lead in world.leads()}
    for queue in ("replies", "payloads"):
        assert world.broker.queue(f"experiment.{LUNG}@orchestrator.{queue}") is None
    assert world.service._courier.num_unsent == 0
    assert world.service._courier.num_awaited == 0
    for member in (*world.nodes.values(), world.ada):
        assert member.courier.num_unsent == 0


def require_sound_log(world: World) -> None:
    """Return if the audit log verifies, and tells just once of all that happened once."""
    assert world.service is not None
    log = world.service._audit
    assert log.verify().fault is None
    assert [one.experiment for one in log.facts(ExperimentAccepted)] == [LUNG]
    assert [one.experiment for one in log.facts(ExperimentEnded)] == [LUNG]
    folded = [(one.round, one.model) for one in log.facts(RoundFolded)]
    assert folded == [(one.round, one.model) for one in world.records()]


def count_steps(world: World) -> int:
    """Return how many steps an experiment takes that nothing disturbs."""
    world.ada.submit(make_spec())
    steps = 0
    while not all(node.over[LUNG] for node in world.nodes.values()):
        world.step()
        steps += 1
    return steps


def kill_after(world: World, steps: int) -> None:
    """Let that many steps happen, then kill the orchestrator."""
    for _ in range(steps):
        world.step()
    world.die()


def test_the_steps_that_are_cut_between_are_many(make_world: Callable[[str], World]) -> None:
    """Else the tests below would prove little."""
    world = make_world("undisturbed")
    assert count_steps(world) > 150
    world.run(seconds=5)
    require_as_without_kills(world)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_between_any_two_steps_changes_nothing(
    make_world: Callable[[str], World], shard: int
) -> None:
    """And another life begins at once."""
    total = count_steps(make_world("undisturbed"))
    for steps in range(shard, total, 3 * SHARDS):
        world = make_world(f"after-{steps}")
        world.ada.submit(make_spec())
        kill_after(world, steps)
        world.live()
        world.run_until_over(LUNG)
        require_as_without_kills(world)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_and_a_long_absence_change_nothing(
    make_world: Callable[[str], World], shard: int
) -> None:
    """The others go on meanwhile, as far as they can."""
    total = count_steps(make_world("undisturbed"))
    for steps in range(2 * shard + 1, total, 5 * SHARDS):
        world = make_world(f"after-{steps}")
        world.ada.submit(make_spec())
        kill_after(world, steps)
        world.run(seconds=100)
        world.live()
        world.run_until_over(LUNG)
        require_as_without_kills(world)


@pytest.mark.parametrize("steps", [17, 23, 29, 31, 41, 67])
def test_a_kill_every_few_steps_changes_nothing(
    make_world: Callable[[str], World], steps: int
) -> None:
    """Life after life, as long as each gets a little further."""
    world = make_world("killed")
    world.ada.submit(make_spec())
    for _ in range(400):
        kill_after(world, steps)
        world.live()
        if all(node.over[LUNG] for node in world.nodes.values()):
            break
    world.run_until_over(LUNG)
    require_as_without_kills(world)


def count_burns(world: World) -> int:
    """Return how often an undisturbed orchestrator looks at its clock or calls its transport."""
    before = world.fuse.count
    world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    return world.fuse.count - before


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_in_the_middle_of_a_step_changes_nothing(
    make_world: Callable[[str], World], shard: int
) -> None:
    """Inside a transaction, before an acknowledgement, between a fold and its log."""
    total = count_burns(make_world("undisturbed"))
    for burns in range(shard + 1, total, 5 * SHARDS):
        world = make_world(f"at-{burns}")
        world.ada.submit(make_spec())
        world.fuse.ends_at = world.fuse.count + burns
        with pytest.raises(Killed):
            world.run_until_over(LUNG)
        world.fuse.ends_at = None
        world.die()
        world.live()
        world.run_until_over(LUNG)
        require_as_without_kills(world)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_while_a_life_begins_changes_nothing(
    make_world: Callable[[str], World], shard: int
) -> None:
    """The second life is killed early, wherever the first one was."""
    total = count_steps(make_world("undisturbed"))
    for steps in range(3 * shard + 2, total, 12 * SHARDS):
        for burns in (2, 5, 9, 14):
            world = make_world(f"after-{steps}-at-{burns}")
            world.ada.submit(make_spec())
            kill_after(world, steps)
            world.fuse.ends_at = world.fuse.count + burns
            try:
                world.live()
                world.run(seconds=2)
            except Killed:
                world.die()
                world.fuse.ends_at = None
                world.live()
            world.fuse.ends_at = None
            world.run_until_over(LUNG)
            require_as_without_kills(world)


def test_two_equal_experiments_survive_kills_together(
    make_world: Callable[[str], World],
) -> None:
    """They share every payload; one must not remove what the other needs."""
    one, two = ExperimentId("one"), ExperimentId("two")
    for steps in range(5, 300, 23):
        world = make_world(f"after-{steps}")
        world.ada.submit(make_spec(), one)
        world.bob.submit(make_spec(), two)
        kill_after(world, steps)
        world.live()
        world.run_until_over(one, two)
        for experiment in (one, two):
            assert [world.model(number, experiment) for number in range(3)] == MODELS
        for node in world.nodes.values():
            assert set(node.trainings.values()) == {1}


def test_a_stop_survives_a_kill(make_world: Callable[[str], World]) -> None:
    """Asked once, it is done; nodes and files agree."""
    for steps in range(12):
        world = make_world(f"after-{steps}")
        world.nodes[LYON].spoils = {2: "silent"}
        world.ada.submit(make_spec())
        world.run(seconds=3)
        lead_before = world.leads()[0].state
        assert lead_before.round == 2
        world.fuse.ends_at = world.fuse.count + 1 + steps
        try:
            world.ada.ask(QueryKind.STOP, LUNG)
        except (Killed, KeyError):
            world.fuse.ends_at = None
            world.die()
            world.live()
        world.fuse.ends_at = None
        world.run_until_over(LUNG)
        assert world.ada.report().state == "stopped"
        assert [record.round for record in world.records()] == [1]
        for _ in range(2):
            world.now += LOOK_S
            world.run(seconds=1)
        assert world.payloads() == {lead_before.model.digest}
        assert world.broker.queue(f"experiment.{LUNG}@orchestrator.replies") is None


def test_a_member_that_missed_a_round_misses_it_with_kills_too(
    make_world: Callable[[str], World],
) -> None:
    """With the same participants in each round the models are the same."""
    expected = None
    for steps in [None, 60, 90, 120, 150]:
        world = make_world(f"after-{steps}")
        world.nodes[PARIS].spoils = {1: "silent"}
        world.ada.submit(make_spec(quorum=2, deadline_s=50.0))
        if steps is not None:
            kill_after(world, steps)
            world.live()
        world.run_until_over(LUNG)
        assert world.outcomes(1)[PARIS] == "missed"
        models = [world.model(number) for number in range(3)]
        expected = expected or models
        assert models == expected
