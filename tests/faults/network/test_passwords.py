"""Passwords at a broker of others that are changed in the middle of a round."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedmq.hub.broker import PrivateBroker
from fedmq.hub.local import enrol_here
from fedmq.types import Role
from tests.faults.network.conftest import run_undisturbed
from tests.support.broker import ADMIN, admin_definitions
from tests.support.federation import (
    CENTRE,
    LYON,
    PARIS,
    RESEARCHER,
    Federation,
    until,
)

pytestmark = [
    pytest.mark.row("24"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.timeout(300),
]

OWNER = "0f" * 8
SIZE = "size = 100_000"


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Federation]:
    """Return a federation that runs on a broker which its hub has not made."""
    broker = PrivateBroker(tmp_path / "broker")
    federation = Federation(tmp_path / "f")
    broker.ports()  # makes its folder
    broker.definitions.write_text(admin_definitions(OWNER))
    try:
        ports = broker.start().ports
        federation.settings |= {
            "FEDMQ_BROKER_URL": f"amqp://127.0.0.1:{ports.amqp}/theirs",
            "FEDMQ_BROKER_ADMIN_URL": f"http://{ADMIN}:{OWNER}@127.0.0.1:{ports.management}",
        }
        federation.do(CENTRE, "hub", "up")
        hub = federation.home(CENTRE) / "hub"
        for node in (LYON, PARIS):
            enrol_here(hub, node, Role.NODE, federation.node_credentials(node))
        enrol_here(hub, RESEARCHER, Role.RESEARCHER, federation.researcher_credentials)
        federation.start_orchestrator()
        for node in (LYON, PARIS):
            federation.add_node(node)
            federation.start_node(node)
        yield federation
    finally:
        federation.close()
        broker.kill()
        broker.stop()


def test_who_has_another_password_is_out_and_goes_on_once_it_has_it(
    theirs: Federation, mended: Callable[[], None], tmp_path: Path
) -> None:
    """A node by the file that the hub sealed to it, the orchestrator by itself; none is restarted.

    Whoever has the old password is off at once, and does not get in with it.
    """
    undisturbed = run_undisturbed(theirs, SIZE)
    theirs.hold(LYON, 1)
    config = f"{SIZE}\n{theirs.hold_config}"
    held = theirs.submit(theirs.write_experiment(config=config, rounds=2))
    theirs.reached(LYON, 1)
    old = theirs.node_credentials(LYON).read_text()
    said = {name: len(theirs.programs[name].log()) for name in (LYON, "orchestrator")}

    def words(name: str) -> str:
        return theirs.programs[name].log()[said[name] :]

    sealed = tmp_path / "chu-lyon.password"
    theirs.do(CENTRE, "hub", "renew", LYON, "--output", str(sealed))
    theirs.do(CENTRE, "hub", "renew", "orchestrator")
    until(
        lambda: "the broker refuses the user, its password or the vhost" in words(LYON),
        "word of the password",
    )
    until(lambda: "trouble=none" in words("orchestrator"), "the orchestrator's return")
    wrong = theirs.fedmq(PARIS, "node", "renew", str(sealed))
    assert wrong.code == 1
    assert "has not sealed it for this member" in wrong.talk
    forged = json.loads(sealed.read_text()) | {"signature": "00" * 64}
    (tmp_path / "forged").write_text(json.dumps(forged))
    assert theirs.fedmq(LYON, "node", "renew", str(tmp_path / "forged")).code == 1
    assert theirs.node_credentials(LYON).read_text() == old
    theirs.do(LYON, "node", "renew", str(sealed))
    mended()
    until(lambda: "trouble=none" in words(LYON), "the node's return")
    theirs.release()
    assert theirs.digests(held) == undisturbed
    assert all(theirs.programs[name].is_running for name in (LYON, PARIS, "orchestrator"))
