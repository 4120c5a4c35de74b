"""Researchers come and go; their experiments stay."""

import json
import signal
from collections.abc import Iterator

import pytest

from tests.support.federation import LYON, PARIS, RESEARCHER, Federation, until

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("federation")]


@pytest.fixture
def held(federation: Federation) -> Iterator[str]:
    """Return the path of an experiment of four rounds that Lyon holds in the third."""
    for node in (LYON, PARIS):
        federation.hold(node, 3)
    config = federation.hold_config
    yield str(federation.write_experiment(rounds=4, config=config))
    federation.release()


def experiments(federation: Federation) -> dict[str, str]:
    """Return the state of each of the researcher's experiments."""
    shown = federation.do(RESEARCHER, "experiments", "list", "--json").json
    return {one["experiment"]: one["state"] for one in shown["experiments"]}


def test_an_experiment_goes_on_without_its_client_and_can_be_followed_again(
    federation: Federation, held: str
) -> None:
    """The rows of closed rounds first, then those that close; two clients at the same time."""
    run = federation.start("run", RESEARCHER, "run", held)
    federation.approve(LYON, PARIS)
    run.expect("1 of 4")
    assert run.end(signal.SIGINT) == 130
    (identifier,) = [name for name, state in experiments(federation).items() if state == "training"]
    assert f"you left; {identifier} goes on" in run.log()
    assert f"next: fedmq experiments follow {identifier}" in run.log()

    federation.reached(LYON, 3)
    followers = [
        federation.start(f"follower {number}", RESEARCHER, "experiments", "follow", identifier)
        for number in (1, 2)
    ]
    for follower in followers:
        follower.expect("1 of 4")
        follower.expect("2 of 4")
        assert "3 of 4" not in follower.log()
    shown = federation.do(RESEARCHER, "experiments", "show", identifier)
    assert "state       training" in shown.data
    assert "round       3 of 4" in shown.data
    assert "2 of 4" in shown.data
    program = federation.start(
        "follower program", RESEARCHER, "experiments", "follow", identifier, "--json"
    )
    program.expect('"kind": "round"')
    federation.release()
    assert program.wait() == 0
    # Its talk, in the same log, is the lines that are no documents.
    lines = [json.loads(line) for line in program.log().splitlines() if line.startswith("{")]
    assert [line["record"]["round"] for line in lines[:-1]] == [1, 2, 3, 4]
    assert (lines[-1]["kind"], lines[-1]["state"]) == ("state", "finished")
    for follower in followers:
        assert follower.wait() == 0
        assert f"{identifier} finished" in follower.log()
        rows = [line.split()[0] for line in follower.log().splitlines() if " of 4 " in line]
        assert rows == ["1", "2", "3", "4"]
    assert experiments(federation)[identifier] == "finished"


def test_an_experiment_that_is_stopped_ends_everywhere(federation: Federation, held: str) -> None:
    """Closed rounds stay; nodes drop the task in hand and take the next experiment."""
    run = federation.start("run", RESEARCHER, "run", held)
    federation.approve(LYON, PARIS)
    run.expect("2 of 4")
    federation.reached(LYON, 3)
    (identifier,) = [name for name, state in experiments(federation).items() if state == "training"]
    stopped = federation.do(RESEARCHER, "experiments", "stop", identifier)
    assert f"{identifier} stopped: stopped by the researcher" in stopped.talk
    assert run.wait() == 3, run.log()
    assert "model of round 2" in run.log()
    assert (federation.home(RESEARCHER) / f"{identifier}.safetensors").exists()
    for node in (LYON, PARIS):
        until(lambda node=node: federation.status(node)["tasks_waiting"] == 0, node)  # type: ignore[misc]
    federation.do(RESEARCHER, "experiments", "fetch", identifier, "closed.safetensors")
    # The holds are still there: only a node whose training was ended can do this.
    after = federation.submit(federation.write_experiment(rounds=1))
    assert len(federation.digests(after)) == 1


def test_nobody_shows_or_stops_what_is_not_theirs(federation: Federation) -> None:
    """An unknown id is an error with a reason."""
    for command in ("show", "stop", "follow"):
        outcome = federation.fedmq(RESEARCHER, "experiments", command, "no-such-experiment")
        assert outcome.code == 1
        assert "you have no experiment no-such-experiment" in outcome.talk
