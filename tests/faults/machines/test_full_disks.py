"""A full disk: nothing is acknowledged, the program stays, says so, goes on when there is room."""

import re
from collections.abc import Callable
from typing import Final

import pytest

from tests.faults.machines.conftest import Small, begin_held
from tests.support.federation import CENTRE, LYON, PARIS, until

pytestmark = [
    pytest.mark.row("10"),
    pytest.mark.rabbitmq,
    pytest.mark.small_disks,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("machines"),
]

FULL: Final = r"(?m)^disk full         \d\d MB needed, \d MB free$"


@pytest.mark.parametrize("held", [LYON, PARIS])
def test_a_node_waits_for_room_and_goes_on_by_itself(
    small: Small, held: str, mended: Callable[[], None]
) -> None:
    """Full while it trains: the result has no room; or when the next model comes."""
    federation, node = small.federation, small.federation.programs[LYON]
    identifier = begin_held(small, held)
    if held == PARIS:
        federation.handed_over(LYON, identifier, 2)
    small.disks[LYON].fill()
    federation.release()
    node.expect("disk_full")
    shown = federation.fedmq(LYON, "node", "status").data
    assert re.search(FULL, shown), shown
    until(
        lambda: "waits: its disk is full" in federation.do(CENTRE, "status").data,
        "what watchers are told",
    )
    mended()
    small.disks[LYON].clear()
    assert federation.digests(identifier) == small.undisturbed
    assert node.is_running
    assert "disk_has_room" in node.log()


def test_an_orchestrator_waits_for_room_and_goes_on_by_itself(
    small: Small, mended: Callable[[], None]
) -> None:
    """The update of the second node has no room; that of the first is not asked for again."""
    federation, program = small.federation, small.federation.programs["orchestrator"]
    identifier = begin_held(small, LYON)
    federation.handed_over(PARIS, identifier, 2)
    small.disks["orchestrator"].fill()
    federation.release()
    program.expect("disk_full")
    shown = federation.fedmq(CENTRE, "orchestrator", "status").data
    assert re.search(FULL, shown), shown
    until(
        lambda: "the orchestrator's disk is full: " in federation.do(CENTRE, "status").data,
        "what watchers are told",
    )
    mended()
    small.disks["orchestrator"].clear()
    assert federation.digests(identifier) == small.undisturbed
    assert program.is_running
    assert "disk_has_room" in program.log()
