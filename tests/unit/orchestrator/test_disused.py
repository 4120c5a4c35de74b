"""What an orchestrator needs no more: it is freed between two lives, and nothing else is missed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.orchestrator.disused import LEFTOVERS, MODELS, find_disused
from fedmq.orchestrator.leader import LOOK_S
from fedmq.parameters import parameters_bytes
from fedmq.transport.disused import Disused, Share, free, measure
from fedmq.transport.home import LocalHome
from fedmq.transport.retention import Retention
from tests.support.clock import FakeClock
from tests.unit.orchestrator.arithmetic import LUNG, make_spec, models_by_hand
from tests.unit.orchestrator.federation import World

FEW = Retention(num_models=1)
NEVER_NEEDED = ("a" * 64, f"{'b' * 64}.8-4.part", f"{'b' * 64}.8-4.have", "lung.folding")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a federation."""
    made = World(tmp_path)
    yield made
    made.close()


def find(world: World, retention: Retention = FEW) -> Disused:
    """Return what the orchestrator needs no more."""
    return find_disused(LocalHome(world.home), retention)


def free_all(world: World, disused: Disused | None = None) -> None:
    """Free it, or what is said."""
    clock = FakeClock(lambda: world.now)
    free(LocalHome(world.home), disused or find(world), retention=FEW, clock=clock)


def shares(world: World) -> dict[str, Share]:
    """Return how much each kind is."""
    clock = FakeClock(lambda: world.now)
    found = measure(LocalHome(world.home), find(world), retention=FEW, clock=clock)
    return {share.what: share for share in found}


def litter(world: World) -> None:
    """Leave files as a crash may."""
    for name in NEVER_NEEDED:
        (world.home / "payloads" / name).write_bytes(bytes(10_000))


def require_done_once(world: World, rounds: int = 2) -> None:
    """Return if the last model is the one by hand, and nobody trained twice."""
    assert world.model(rounds) == parameters_bytes(models_by_hand(rounds)[rounds])
    assert [record.round for record in world.records()] == list(range(1, rounds + 1))
    for node in world.nodes.values():
        assert node.trainings == {(LUNG, number): 1 for number in range(1, rounds + 1)}


def test_earlier_models_leftovers_and_ids_go_and_all_else_stays(world: World) -> None:
    """The newest model, the records, what its researcher may fetch; a second time finds nothing."""
    world.ada.submit(make_spec(rounds=3))
    world.run_until_over(LUNG)
    world.die()
    needed = world.payloads()
    litter(world)
    found = find(world)
    assert sorted((file.what, file.name) for file in found.files) == sorted(
        [
            *((LEFTOVERS, name) for name in NEVER_NEEDED),
            *((MODELS, f"round-{number:04d}.safetensors") for number in range(3)),
        ]
    )
    assert shares(world)["ids of messages"].count > 10
    free_all(world)
    assert world.payloads() == needed
    assert world.kept() == {"round-0003.safetensors", "rounds.jsonl", "experiment.json"}
    assert shares(world) == {}
    world.live()
    world.run(seconds=5)
    assert world.ada.report().state == "finished"
    require_done_once(world, 3)


def test_looking_frees_nothing(world: World) -> None:
    """`fedmq gc --dry-run` is a look."""
    world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    litter(world)
    before = sorted(path for path in world.home.rglob("*") if path.is_file())
    assert shares(world)[LEFTOVERS].count == len(NEVER_NEEDED)
    assert sorted(path for path in world.home.rglob("*") if path.is_file()) == before


@pytest.mark.parametrize("steps", [17, 23, 29, 41])
def test_between_any_two_lives_nothing_that_is_needed_goes(world: World, steps: int) -> None:
    """Life after life, each ended in the middle of a round, with leftovers of its own."""
    world.ada.submit(make_spec())
    for _ in range(400):
        for _ in range(steps):
            world.step()
        world.die()
        litter(world)
        free_all(world)
        assert not world.payloads() & set(NEVER_NEEDED)
        world.live()
        if all(node.over[LUNG] for node in world.nodes.values()):
            break
    world.run_until_over(LUNG)
    require_done_once(world)
    for _ in range(2):
        world.now += LOOK_S
        world.run(seconds=1)
    assert world.payloads() == {lead.state.model.digest for lead in world.leads()}
    for member in (*world.nodes.values(), world.ada):
        assert member.courier.num_unsent == 0


def test_who_is_killed_while_freeing_has_freed_less(tmp_path: Path) -> None:
    """After each file: what is left is found again, and the experiment goes on."""
    num_files = len(NEVER_NEEDED) + 1
    for count in range(num_files + 1):
        world = World(tmp_path / str(count))
        world.ada.submit(make_spec())
        while not any(node.trainings[LUNG, 2] for node in world.nodes.values()):
            world.step()
        world.die()
        litter(world)
        found = find(world)
        assert len(found.files) == num_files
        # Killed behind so many files: the ids of messages are not reached.
        for file in found.files[:count]:
            LocalHome(world.home).disk(*file.folder).remove(file.name)
        assert find(world) == replace(found, files=found.files[count:])
        world.live()
        world.run_until_over(LUNG)
        require_done_once(world)
        world.close()


def test_bytes_that_a_file_which_stays_has_too_are_not_counted(world: World) -> None:
    """A model is one file with two names while it is both payload and checkpoint."""
    world.ada.submit(make_spec(rounds=3))
    world.run_until_over(LUNG)
    world.die()
    folder = world.home / "experiments" / LUNG
    (world.home / "payloads" / ("a" * 64)).hardlink_to(folder / "round-0003.safetensors")
    (world.home / "payloads" / ("b" * 64)).hardlink_to(folder / "round-0001.safetensors")
    found = shares(world)
    size = (folder / "round-0001.safetensors").stat().st_blocks * 512
    assert size > 0
    # Of those two names one frees nothing, and the other the bytes of a model once.
    assert (found[LEFTOVERS].count, found[LEFTOVERS].size_bytes) == (2, size)
    assert (found[MODELS].count, found[MODELS].size_bytes) == (3, 2 * size)


def test_what_is_led_keeps_its_ids(world: World) -> None:
    """A repeat of what an experiment under way received would change something."""
    world.ada.submit(make_spec())
    while not any(node.trainings[LUNG, 1] for node in world.nodes.values()):
        world.step()
    assert find(world).over == {}
