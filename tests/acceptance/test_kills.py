"""Kill -9 of anything, at its worst moment: the models are those of an undisturbed run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.hub.broker import PrivateBroker
from fedmq.hub.processes import find_process
from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    running_federation,
    until,
)

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("kills"),
]

SIZE = "size = 600_000"
"""More than two megabytes: several chunks."""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Return a federation with a private hub, whose broker may be killed."""
    with running_federation(tmp_path_factory.mktemp("kills") / "f", None) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(federation: Federation) -> list[str]:
    """Return the digest of each round's model where nothing happens."""
    experiment = federation.write_experiment(config=SIZE)
    identifier = federation.submit(experiment)
    federation.approve(LYON, PARIS)
    return federation.digests(identifier)


@pytest.fixture
def held(federation: Federation, undisturbed: list[str]) -> Iterator[str]:
    """Return the same experiment again, now in the middle of round 2 of 3, held at Lyon."""
    assert len(set(undisturbed)) == 3
    federation.hold(LYON, 2)
    config = f"{SIZE}\n{federation.hold_config}"
    identifier = federation.submit(federation.write_experiment(config=config))
    federation.reached(LYON, 2)
    yield identifier
    federation.release()


def trainers_of(pid: int) -> list[int]:
    """Return the children of a process."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for path in children for word in path.read_text().split()]


def test_a_node_killed_in_training_does_it_again(
    federation: Federation, undisturbed: list[str], held: str
) -> None:
    """Its trainer dies with it; started again, it takes up the task from its own journal."""
    node = federation.programs[LYON]
    (trainer,) = [find_process(pid) for pid in trainers_of(node.pid)]
    assert trainer is not None
    node.kill()
    until(lambda: not trainer.is_running(), "the end of the trainer")
    assert federation.status(LYON)["tasks_waiting"] == 1
    federation.start_node(LYON)
    federation.reached(LYON, 2)
    federation.release()
    assert federation.digests(held) == undisturbed


def test_an_orchestrator_killed_in_a_round_goes_on_with_it(
    federation: Federation, undisturbed: list[str], held: str
) -> None:
    """It has one of two updates; the other comes while it is away."""
    federation.handed_over(PARIS, held, 2)
    federation.programs["orchestrator"].kill()
    federation.release()
    until(lambda: federation.status(LYON)["tasks_waiting"] == 0, "the end of training")
    federation.start_orchestrator()
    assert federation.digests(held) == undisturbed


def test_a_broker_killed_in_a_round_loses_nothing(
    federation: Federation, undisturbed: list[str], held: str
) -> None:
    """The node trains on without it, and hands over when it is back."""
    follower = federation.start("early follower", RESEARCHER, "experiments", "follow", held)
    follower.expect("1 of 3")
    PrivateBroker(federation.home(CENTRE) / "hub" / "broker").kill()
    assert federation.do(CENTRE, "hub", "status", "--json").json["running"] is False
    federation.release()
    until(lambda: federation.status(LYON)["tasks_waiting"] == 0, "the end of training")
    assert federation.status(LYON)["unsent"] > 0
    federation.do(CENTRE, "hub", "up")
    assert federation.digests(held) == undisturbed
    assert follower.wait() == 0
    assert "3 of 3" in follower.log()


def test_a_node_killed_with_something_unsent_sends_it_once(
    federation: Federation, undisturbed: list[str]
) -> None:
    """What its first update left is on its disk, and is added to the second one after the kill."""
    travel = {"update_encoding": "top-k", "top_k_share": 0.2, "model_encoding": "bf16"}
    config = f"{SIZE}\n{federation.hold_config}"
    quiet = federation.submit(federation.write_experiment(config=config, **travel))
    wanted = federation.digests(quiet)
    assert wanted != undisturbed
    federation.hold(LYON, 2)
    identifier = federation.submit(federation.write_experiment(config=config, **travel))
    federation.reached(LYON, 2)
    residuals = federation.home(LYON) / "node" / "residuals"
    assert [path.name for path in residuals.iterdir()] == [f"{identifier}.1.0.0"]
    federation.programs[LYON].kill()
    federation.start_node(LYON)
    federation.reached(LYON, 2)
    federation.release()
    assert federation.digests(identifier) == wanted
    until(lambda: not list(residuals.iterdir()), "the end of what was unsent")
