"""What `fedmq status` shows while an experiment runs."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.federation import CENTRE, LYON, PARIS, RESEARCHER, Federation, until

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("federation")]


def test_status_says_who_is_online_who_waits_and_who_does_what(federation: Federation) -> None:
    """One row per node and one per experiment; a node that was stopped is offline."""
    federation.hold(LYON, 1)
    config = federation.hold_config
    identifier = federation.submit(federation.write_experiment(rounds=2, config=config))
    federation.approve(LYON, PARIS)
    federation.reached(LYON, 1)

    def shown(claim: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        found = federation.do(CENTRE, "status", "--json").json
        return found if claim(found) else None

    def row(found: dict[str, Any], name: str) -> dict[str, Any]:
        (one,) = [node for node in found["nodes"] if node["node"] == name]
        assert isinstance(one, dict)
        return one

    doing = f"training round 1 (50%) of {identifier}"
    idle = {"node": PARIS, "online": True, "doing": "idle"}
    training = {"node": LYON, "online": True, "doing": doing}

    def under_way(found: dict[str, Any]) -> bool:
        # The broker counts its readers every few seconds, and heartbeats come when they come.
        told = [{name: node[name] for name in idle} for node in found["nodes"]]
        return told == [training, idle]

    found = until(lambda: shown(under_way), doing)
    (experiment,) = found["experiments"]
    assert (experiment["experiment"], experiment["state"]) == (identifier, "training")
    assert (experiment["round"], experiment["num_rounds"]) == (1, 2)
    assert experiment["reason"] == f"1 of 2; waiting for {LYON}"
    (leader,) = found["orchestrators"]
    assert (leader["name"], leader["is_away"]) == ("orchestrator", False)

    assert federation.programs[PARIS].end() == 0
    until(lambda: shown(lambda one: not row(one, PARIS)["online"]), "offline")
    federation.release()
    # Paris's task of the next leg waits in its queue, and the experiment says for whom it waits.
    found = until(lambda: shown(lambda one: row(one, PARIS)["waiting"] > 0), "a task that waits")
    table = federation.do(CENTRE, "status")
    (line,) = [line for line in table.data.splitlines() if line.startswith(PARIS)]
    assert line.split()[1] == "no"
    # Lyon may still be at this leg; once it has answered, Paris alone is waited for.
    alone = f"1 of 2; waiting for {PARIS}"
    until(lambda: shown(lambda one: [of["reason"] for of in one["experiments"]] == [alone]), alone)
    federation.start_node(PARIS)
    assert len(federation.digests(identifier)) == 2
    until(lambda: shown(lambda one: not one["experiments"]), "no experiment")
    listed = federation.do(RESEARCHER, "experiments", "list").data
    assert f"{identifier}" in listed
