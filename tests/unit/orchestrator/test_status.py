"""The status of an orchestrator, read beside its service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.orchestrator.status import OrchestratorStatus, read_status
from fedmq.transport import topology
from fedmq.transport.home import RESERVE_BYTES, LocalHome
from fedmq.transport.ports import Properties, Publication
from fedmq.types import ORCHESTRATOR, ExperimentId
from tests.unit.orchestrator.arithmetic import ADA, LUNG, NODES, make_spec
from tests.unit.orchestrator.federation import World

LIVER = ExperimentId("liver")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def status(world: World) -> OrchestratorStatus:
    """Return what another program reads in the orchestrator's home."""
    return read_status(LocalHome(world.home), now=world.now)


def test_an_orchestrator_that_has_nothing_says_so(world: World) -> None:
    """No experiment, nothing that waits, nothing turned away."""
    found = status(world)
    assert found == OrchestratorStatus(
        experiments=(),
        unsent=0,
        payloads_awaited=0,
        rejected={},
        witnessed={},
        refused_heads={},
        room=found.room,
        leader=None,
        epoch=found.epoch,
        stand_bys=(),
    )
    assert found.room.needed_bytes == RESERVE_BYTES


def test_the_status_is_that_of_the_service_that_runs(world: World) -> None:
    """What is over and what is led, the messages without receipt, the bytes on the disk."""
    world.ada.submit(make_spec(), LUNG)
    world.run_until_over(LUNG)
    for node in world.nodes.values():
        node.transport.disconnect()
    world.ada.submit(make_spec(), LIVER, seed=2)
    world.run(seconds=1)
    found = status(world)
    by_name = {one.experiment: one for one in found.experiments}
    lung, liver = by_name[LUNG], by_name[LIVER]
    assert (lung.experiment, lung.researcher, lung.state, lung.is_over) == (
        LUNG,
        ADA,
        "finished",
        True,
    )
    assert (lung.round, lung.num_rounds) == (2, 2)
    assert (liver.state, liver.round, liver.is_over) == ("preparing", 0, False)
    assert "no answer yet from" in liver.reason
    assert found.num_led == 1
    assert found.unsent == len(NODES)
    folders = {one.experiment: world.home / "experiments" / one.experiment for one in (lung, liver)}
    for one in (lung, liver):
        files = folders[one.experiment].iterdir()
        assert one.size_bytes == sum(path.stat().st_size for path in files) > 0
    assert found.size_bytes == lung.size_bytes + liver.size_bytes


def test_the_status_says_what_was_turned_away_and_what_payloads_are_awaited(world: World) -> None:
    """By reason, as `fedmq node status` does."""
    world.ada.transport.publish(
        Publication(
            exchange=topology.SUBMISSIONS,
            routing_key=topology.key(ADA, topology.desk("-", ORCHESTRATOR), topology.Lane.CONTROL),
            body=b"garbage",
            properties=Properties(),
        ),
        77_000,
    )
    world.ada.submit(make_spec(), LUNG)
    world.ada.hide()
    world.run()
    found = status(world)
    assert found.rejected == {"not_msgpack": 1}
    assert found.payloads_awaited == 1
