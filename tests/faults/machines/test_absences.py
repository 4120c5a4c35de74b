"""Nodes that are slow, away or late: deadlines decide who is in a round, and nothing runs later."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.machines.conftest import Small
from tests.support.federation import CENTRE, LYON, PARIS, RESEARCHER, Federation, Program, until
from tests.support.reference import model_digests

pytestmark = [
    pytest.mark.row("17"),
    pytest.mark.rabbitmq,
    pytest.mark.small_disks,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("machines"),
]

BOTH, ALONE = (LYON, PARIS), (LYON,)


@pytest.fixture
def federation(small: Small) -> Federation:
    """Return the federation alone."""
    return small.federation


def begin(
    federation: Federation,
    *,
    rounds: int,
    spoils: Sequence[str] = (),
    spoiled_site: str = "",
    **settings: object,
) -> str:
    """Return an experiment that one node may carry alone, each round within a few seconds."""
    usual = {"quorum": 1, "round_deadline_s": 4, "evaluate": False}
    config = (
        f"{federation.hold_config}\n"
        f"spoils = {json.dumps(list(spoils))}\n"
        f"spoiled_site = {json.dumps(spoiled_site)}"
    )
    return federation.submit(
        federation.write_experiment(rounds=rounds, config=config, **(usual | settings))
    )


def ended(federation: Federation, identifier: str) -> dict[str, Any]:
    """Return the report of an experiment once it is over."""
    federation.start("follower", RESEARCHER, "experiments", "follow", identifier).wait()
    return federation.report(identifier)


def closed(orchestrator: Program, identifier: str) -> int:
    """Return how many rounds of an experiment have been closed."""
    lines = orchestrator.log().splitlines()
    return sum("round_closed" in line and identifier in line for line in lines)


def require_models(federation: Federation, report: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return who took part in each round, whose model is that of an undisturbed run with them."""
    participants = [
        tuple(one["node"] for one in record["outcomes"] if one["outcome"] == "updated")
        for record in report["records"]
    ]
    models = [record["model"] for record in report["records"]]
    config = report["spec"]["config"]
    assert models == model_digests(federation, participants, **(config | {"holds": ""}))
    return participants


def begun(federation: Federation, node: str, identifier: str) -> int:
    """Return how often a node has begun something of an experiment, in this life of it."""
    lines = federation.programs[node].log().splitlines()
    return sum("task_started" in line and identifier in line for line in lines)


def test_a_node_that_stands_still_is_left_out_and_is_back_after_three_rounds(
    federation: Federation, mended: Callable[[], None]
) -> None:
    """Stopped in training as a machine may be (SIGSTOP): each round ends at its deadline."""
    orchestrator, paris = federation.programs["orchestrator"], federation.programs[PARIS]
    federation.hold(PARIS, 1)
    identifier = begin(federation, rounds=6)
    federation.reached(PARIS, 1)
    os.kill(paris.pid, signal.SIGSTOP)
    try:
        shown = federation.do(RESEARCHER, "experiments", "show", identifier).data
        assert "1 of 2; waiting for ghu-paris" in shown
        shown = federation.do(CENTRE, "orchestrator", "status").data
        assert "1 of 2; waiting for ghu-paris" in shown
        until(lambda: closed(orchestrator, identifier) == 3, "three rounds without Paris")
    finally:
        federation.release()
        mended()
        os.kill(paris.pid, signal.SIGCONT)
    report = ended(federation, identifier)
    assert report["state"] == "finished_short"
    assert "ghu-paris missed" in report["reason"]
    participants = require_models(federation, report)
    assert participants[:3] == [ALONE] * 3
    assert BOTH in participants[3:]


def test_an_update_of_a_round_that_went_on_is_kept_for_the_record_and_in_no_model(
    small: Small, federation: Federation, mended: Callable[[], None]
) -> None:
    """The line was cut while the node trained; mended, the update comes, and is late."""
    orchestrator = federation.programs["orchestrator"]
    federation.hold(PARIS, 1)
    identifier = begin(federation, rounds=4, late_updates="keep", round_deadline_s=8)
    federation.reached(PARIS, 1)
    small.line.cut()
    federation.release()
    until(lambda: federation.status(PARIS)["unsent"], "the update that cannot leave")
    until(lambda: closed(orchestrator, identifier), "the first round without Paris")
    # Paris may be on the line again only after many rounds.
    federation.do(RESEARCHER, "experiments", "pause", identifier)
    mended()
    small.line.mend()
    until(lambda: federation.report(identifier)["late"], "the update, once it was asked for")
    federation.do(RESEARCHER, "experiments", "resume", identifier)
    report = ended(federation, identifier)
    assert [(one["node"], one["round"]) for one in report["late"]] == [(PARIS, 1)]
    folder = Path("experiments", identifier)
    assert small.disks["orchestrator"].has(folder / f"late-0001.{PARIS}.safetensors")
    assert require_models(federation, report)[0] == ALONE


def leave(federation: Federation, number: int) -> None:
    """Kill Paris in the middle of a round's training."""
    federation.reached(PARIS, number)
    federation.programs[PARIS].kill()
    assert federation.status(PARIS)["tasks_waiting"] == 1


def require_nothing_begun(federation: Federation, identifier: str) -> None:
    """Return if Paris, back again, reads all that waited for it and begins nothing of it."""
    federation.start_node(PARIS)

    def has_read_all() -> bool:
        nodes = federation.do(CENTRE, "status", "--json").json["nodes"]
        (paris,) = [one for one in nodes if one["node"] == PARIS]
        is_idle = paris["online"] and not paris["waiting"] + paris["in_hand"]
        return is_idle and not federation.status(PARIS)["tasks_waiting"]

    until(has_read_all, "an empty queue of Paris")
    assert begun(federation, PARIS, identifier) == 0
    assert "experiment_over" in federation.programs[PARIS].log()


def test_a_node_that_stays_away_begins_nothing_when_all_is_over(federation: Federation) -> None:
    """Its task in hand and those in its queue are of rounds that went on; it reads that first."""
    federation.hold(PARIS, 2)
    identifier = begin(federation, rounds=3)
    leave(federation, 2)
    federation.release()
    report = ended(federation, identifier)
    assert report["state"] == "finished_short"
    assert require_models(federation, report) == [BOTH, ALONE, ALONE]
    require_nothing_begun(federation, identifier)


def test_an_experiment_that_was_stopped_is_never_run_later(federation: Federation) -> None:
    """Stopped while its tasks wait at a node that is away."""
    federation.hold(PARIS, 1)
    federation.hold(LYON, 1)
    identifier = begin(federation, rounds=3, round_deadline_s=3_600)
    leave(federation, 1)
    stopped = federation.do(RESEARCHER, "experiments", "stop", identifier)
    assert f"{identifier} stopped" in stopped.talk
    federation.release()
    require_nothing_begun(federation, identifier)
    until(lambda: federation.status(LYON)["tasks_waiting"] == 0, "the end at Lyon")
    assert federation.report(identifier)["records"] == []


def test_a_paused_experiment_closes_its_round_and_goes_on_when_resumed(
    federation: Federation,
) -> None:
    """What nodes are doing is finished; nobody is asked for more until it is resumed."""
    federation.hold(LYON, 1)
    identifier = begin(federation, rounds=2, quorum=2, round_deadline_s=3_600)
    federation.reached(LYON, 1)
    paused = federation.do(RESEARCHER, "experiments", "pause", identifier).talk
    assert f"{identifier} paused: paused by the researcher" in paused
    federation.release()
    until(lambda: closed(federation.programs["orchestrator"], identifier), "the round in hand")
    shown = federation.do(RESEARCHER, "experiments", "show", identifier).data
    assert "state       paused" in shown
    assert "round       1 of 2" in shown
    assert begun(federation, LYON, identifier) == 2, "prepared, and trained once"
    federation.do(RESEARCHER, "experiments", "resume", identifier)
    report = ended(federation, identifier)
    assert report["state"] == "finished"
    assert require_models(federation, report) == [BOTH, BOTH]


def test_a_node_that_agrees_late_takes_part_from_the_next_round_on(federation: Federation) -> None:
    """Its operator approves the plan in the second round; it is asked in the third."""
    plan = federation.home(RESEARCHER) / "plan.py"
    federation.hold(LYON, 2)
    config = federation.hold_config
    settings = {"quorum": 1, "round_deadline_s": 3_600, "evaluate": False}
    experiment = federation.write_experiment(rounds=3, config=config, **settings)
    plan.write_text(plan.read_text().replace("held-numpy", "held-later"))
    identifier = federation.submit(experiment)
    for node, number in ((LYON, 2), (PARIS, 0)):
        until(
            lambda node=node: any(one["name"] == "held-later" for one in federation.plans(node)),  # type: ignore[misc]
            f"the question to {node}",
        )
        if number:
            federation.do(node, "node", "plans", "approve", "held-later")
            federation.reached(node, number)
    federation.do(PARIS, "node", "plans", "approve", "held-later")
    federation.handed_over(PARIS, identifier, 0, kind="prepare")
    federation.release()
    report = ended(federation, identifier)
    assert require_models(federation, report) == [ALONE, ALONE, BOTH]


@pytest.mark.long
def test_a_node_that_is_away_is_named_with_the_time_since_it_was_heard(
    federation: Federation,
) -> None:
    """For the researcher who looks or follows, for watchers, for the orchestrator's operator."""
    federation.hold(PARIS, 1)
    identifier = begin(federation, rounds=1, round_deadline_s=150)
    leave(federation, 1)
    follower = federation.start("follower", RESEARCHER, "experiments", "follow", identifier)
    words = "1 of 2; waiting for ghu-paris; ghu-paris last heard "
    follower.expect(f"waiting: {words}")
    assert words in federation.do(RESEARCHER, "experiments", "show", identifier).data
    assert words in federation.do(CENTRE, "status").data
    until(
        lambda: words in federation.do(CENTRE, "orchestrator", "status").data,
        "what the operator reads",
    )
    assert follower.wait() == 3
    federation.release()
    federation.start_node(PARIS)
    until(lambda: federation.status(PARIS)["tasks_waiting"] == 0, "the end at Paris")
