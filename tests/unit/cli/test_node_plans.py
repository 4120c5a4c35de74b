"""The commands for plans: what is asked, every line of it, the operator's word."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.messages.fields import PlanReference
from fedmq.node.plans import Asked
from fedmq.node.records import open_records
from fedmq.transport.home import LocalHome
from fedmq.types import Role
from tests.unit.cli.line import CommandLine

PLAN = "clinical-logistic"
DIGEST = plan_digest(plan_source(PLAN))
PURPOSE = "Progression-free survival at 12 months from the clinical table, for the whole federation"


@pytest.fixture
def node(fedmq: CommandLine, credentials: Callable[..., Path], home: Path) -> CommandLine:
    """Return the command line of a node."""
    credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    return fedmq


def ask(home: Path) -> None:
    """Let a researcher ask for the plan."""
    records = open_records(LocalHome(home / "node"))
    records.plans.ask(
        PlanReference(name=PLAN, digest=DIGEST, is_shipped=False),
        None,
        Asked(experiment="lung-1", researcher="ada", purpose=PURPOSE),
        now=5.0,
    )
    records.close()


def test_a_plan_is_listed_read_and_decided_on(node: CommandLine, home: Path) -> None:
    """Each screen ends with the next command; the source is the data, byte for byte."""
    nothing = node("node", "plans", "list")
    assert (nothing.code, nothing.data, nothing.ends_with_next) == (0, "", True)
    assert f"the catalogue has {PLAN}" in nothing.talk
    ask(home)
    listed = node("node", "plans", "list")
    assert listed.data.splitlines() == [
        "decision  plan               digest        asked by  purpose",
        f"awaiting  {PLAN}  {DIGEST[:12]}  ada       {PURPOSE}",
    ]
    assert listed.ends_with_next
    shown = node("node", "plans", "show", PLAN)
    assert shown.data == plan_source(PLAN).decode() + "\n"
    assert "asked by    ada for lung-1" in shown.talk
    assert f"next: fedmq node plans approve {DIGEST[:12]}" in shown.talk
    assert shown.ends_with_next
    for command, word in (("approve", "approved"), ("reject", "rejected")):
        decided = node("node", "plans", command, DIGEST[:12])
        assert f"{PLAN} {DIGEST[:12]} is {word} on this node" in decided.talk
        assert decided.ends_with_next
        assert node("node", "plans", "list").data.splitlines()[1].startswith(word)


def test_programs_get_digest_decision_and_source(node: CommandLine, home: Path) -> None:
    """Whole."""
    ask(home)
    node("node", "plans", "reject", PLAN, "--reason", "not discussed")
    listed = node("node", "plans", "list", "--json").json
    assert listed["schema_version"] == 1
    (plan,) = listed["plans"]
    assert (plan["name"], plan["digest"], plan["is_shipped"]) == (PLAN, DIGEST, False)
    assert (plan["decision"], plan["reason"]) == ("rejected", "not discussed")
    assert plan["asked"] == {"experiment": "lung-1", "researcher": "ada", "purpose": PURPOSE}
    assert plan["asked_at"] == 5.0
    shown = node("node", "plans", "show", PLAN, "--json").json
    assert shown == {
        "schema_version": 1,
        "plan": plan,
        "source": plan_source(PLAN).decode(),
    }


def test_a_plan_that_nobody_asked_for_is_an_error(node: CommandLine) -> None:
    """The catalogue's names are said."""
    outcome = node("node", "plans", "show", "petct-survial", "--json")
    assert (outcome.code, outcome.data) == (1, "")
    assert "error: there is no plan petct-survial" in outcome.talk
    assert "petct-survival" in outcome.talk
