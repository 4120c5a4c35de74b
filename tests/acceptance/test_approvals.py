"""Three hospitals, of which one decides later: the others go on, and it joins them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import TestBroker
from tests.support.federation import (
    LILLE,
    LYON,
    PARIS,
    PLAN,
    POLICY,
    RESEARCHER,
    Federation,
    running_federation,
    until,
)

pytestmark = pytest.mark.rabbitmq
STUDY = """\
[study]
protocol = "FEDPET-01"
ethics = "CPP 2026-117"
end = 2199-12-31
"""


@pytest.fixture
def federation(tmp_path: Path, broker: TestBroker) -> Iterator[Federation]:
    """Return a federation of three nodes, whose policies need a study."""
    nodes = (LYON, PARIS, LILLE)
    with running_federation(tmp_path / "f", broker, nodes=nodes) as running:
        for node in nodes:
            running.write_policy(node, POLICY.replace("require_study = false\n", ""))
        yield running


def test_two_nodes_go_on_and_the_third_joins_when_it_has_decided(federation: Federation) -> None:
    """The researcher sees who waits for what; a node that is paused later keeps nobody up.

    Rounds are held by their training at Lyon, so that none is over before Lille has decided.
    """
    for number in (1, 2):
        federation.hold(LYON, number)
    experiment = federation.write_experiment(
        rounds=3,
        config=federation.hold_config,
        nodes=[LYON, PARIS, LILLE],
        evaluate=False,
        round_deadline_s=3_600,
    )
    experiment.write_text(experiment.read_text().replace("[config]", STUDY + "[config]"))
    run = federation.start("run", RESEARCHER, "run", str(experiment), "--output", "m.safetensors")
    run.expect(f"{LYON}: plan_awaits_approval; {PARIS}: plan_awaits_approval")
    for node in (LYON, PARIS):
        said = federation.do(node, "node", "plans", "approve", PLAN, "--max-rounds", "3").talk
        assert "study       FEDPET-01, vote CPP 2026-117, ends 2199-12-31" in said
        assert "rounds      at most 3" in said
    federation.reached(LYON, 1)

    (identifier,) = [
        one["experiment"]
        for one in federation.do(RESEARCHER, "experiments", "list", "--json").json["experiments"]
    ]

    def standing(node: str) -> tuple[str, str]:
        (one,) = [one for one in federation.report(identifier)["nodes"] if one["node"] == node]
        return one["stand"], one["code"]

    assert standing(LILLE) == ("waits", "plan_awaits_approval")
    shown = federation.do(RESEARCHER, "experiments", "show", identifier).data
    assert f"{LILLE} waits: plan_awaits_approval, for its operator" in shown

    federation.do(LILLE, "node", "plans", "approve", PLAN)
    (federation.holds / f"hold.{LYON}.1").unlink()
    federation.reached(LYON, 2)
    until(lambda: standing(LILLE)[0] == "takes_part", "Lille's word")
    federation.write_policy(PARIS, POLICY + "paused = true\n")
    assert federation.do(PARIS, "node", "policy", "show", "--json").json["policy"]["paused"]
    (federation.holds / f"hold.{LYON}.2").unlink()
    run.expect(f"{PARIS}: node_paused")
    assert run.wait() == 3, run.log()

    records = federation.report(identifier)["records"]
    outcomes = [{one["node"]: one["outcome"] for one in record["outcomes"]} for record in records]
    assert outcomes[0] == {LYON: "updated", PARIS: "updated"}
    assert outcomes[1].keys() >= {LYON, PARIS}
    assert outcomes[2] == {LYON: "updated", LILLE: "updated", PARIS: "node_paused"}
