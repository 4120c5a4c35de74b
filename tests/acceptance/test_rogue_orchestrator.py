"""An orchestrator that was taken over, with its real keys, at real nodes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.federation import CENTRE, LYON, PARIS, Federation, until

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("federation")]

ROGUE = Path(__file__).parents[1] / "support" / "rogue_orchestrator.py"


@pytest.fixture
def taken_over(federation: Federation) -> Iterator[Federation]:
    """Return a federation whose orchestrator may be replaced; its own is back afterwards."""
    assert federation.programs["orchestrator"].end() == 0
    yield federation
    federation.programs["rogue"].kill()
    del federation.settings["FEDMQ_ROGUE"]
    del federation.commands["rogue"]
    federation.start_orchestrator()


@pytest.mark.parametrize("what", ["rounds", "forged"])
def test_it_gets_nothing_that_no_researcher_ordered(taken_over: Federation, what: str) -> None:
    """No operator is asked, no case is counted; the researcher sees why, and the log has it."""
    federation = taken_over
    federation.settings["FEDMQ_ROGUE"] = what
    federation.commands["rogue"] = (sys.executable, str(ROGUE))
    before = {node: len(federation.plans(node)) for node in (LYON, PARIS)}
    federation.start("rogue", CENTRE, "orchestrator", "start").expect("orchestrator_started")
    experiment = federation.write_experiment(rounds=1, quorum=1, name=f"rogue-{what}")
    identifier = federation.submit(experiment)
    report = until(
        lambda: found if (found := federation.report(identifier))["state"] == "failed" else None
    )
    assert [(one["node"], one["code"]) for one in report["nodes"]] == [
        (LYON, "not_mandated"),
        (PARIS, "not_mandated"),
    ]
    for node in (LYON, PARIS):
        assert len(federation.plans(node)) == before[node]
        log = federation.do(node, "node", "audit", "show", "-n", "5").data
        assert "not_mandated" in log
