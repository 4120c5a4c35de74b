"""Two orchestrators with stores of their own in one federation; one is killed in a round."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    Program,
    running_federation,
    until,
)

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(400)]

FIRST, SECOND = "orchestrator", "hub-b"


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Return a federation of two nodes with a hub of its own."""
    with running_federation(tmp_path_factory.mktemp("several") / "f", None) as running:
        yield running


def start(federation: Federation, name: str) -> Program:
    """Return an orchestrator once it runs."""
    if name == FIRST:
        return federation.start_orchestrator()
    file = str(federation.credentials(name))
    program = federation.start(name, CENTRE, "orchestrator", "start", "--credentials", file)
    program.expect("orchestrator_started")
    return program


def add(federation: Federation, name: str) -> None:
    """Let there be another orchestrator, to whose keys everybody agrees."""
    read_out = federation.do(CENTRE, "hub", "add-orchestrator", name).data.strip()
    accept = ("roster", "--accept", "--fingerprint", read_out)
    for node in (LYON, PARIS):
        until(
            lambda node=node: federation.do(node, "node", "roster", "--json").json["held"],
            f"the roster at {node}",
        )
        federation.do(node, "node", *accept)
    # A researcher hears of it with an answer.
    federation.do(RESEARCHER, "experiments", "list")
    federation.do(RESEARCHER, *accept)


def test_each_leads_its_own_and_a_kill_of_one_changes_no_bit_of_either(
    federation: Federation,
) -> None:
    """The other's experiment is finished meanwhile; a list says who does not answer."""
    identifier = federation.submit(federation.write_experiment())
    federation.approve(LYON, PARIS)
    undisturbed = federation.digests(identifier)
    add(federation, SECOND)
    start(federation, SECOND)

    federation.hold(LYON, 2)
    config = federation.hold_config
    said = federation.do(
        RESEARCHER, "run", str(federation.write_experiment(config=config)), "--detach"
    )
    held, killed = said.data.strip(), SECOND if SECOND in said.talk else FIRST
    left = FIRST if killed == SECOND else SECOND
    federation.reached(LYON, 2)
    federation.handed_over(PARIS, held, 2)

    federation.programs[killed].kill()
    federation.release()
    other = federation.do(
        RESEARCHER, "run", str(federation.write_experiment()), "--detach", "--orchestrator", left
    ).data.strip()
    assert federation.digests(other) == undisturbed
    listed = federation.do(RESEARCHER, "experiments", "list", "--json").json
    assert listed["no_answer_from"] == [killed]
    assert other in [one["experiment"] for one in listed["experiments"]]

    start(federation, killed)
    assert federation.digests(held) == undisturbed
    homes = [federation.home(CENTRE) / "orchestrator", federation.home(CENTRE) / "orchestrators"]
    kept = {path.name for home in homes for path in home.glob("**/experiments/*")}
    assert {held, other} <= kept

    # To a home that does not know who leads, each shows the order that names it.
    shutil.rmtree(federation.home(RESEARCHER) / f"{RESEARCHER}-files")
    for identifier in (held, other):
        shown = federation.do(RESEARCHER, "experiments", "show", identifier, "--json").json
        assert shown["state"] == "finished"
