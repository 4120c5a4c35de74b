"""Disks that fail, are read-only or lost the end of a file: programs stop, and go on from them."""

from collections.abc import Callable

import pytest

from tests.faults.machines.conftest import Small, begin_held
from tests.support.federation import CENTRE, LYON, PARIS

pytestmark = [
    pytest.mark.row("11"),
    pytest.mark.rabbitmq,
    pytest.mark.small_disks,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("machines"),
]


def test_a_node_whose_sync_fails_stops_and_goes_on_from_its_disk(
    small: Small, mended: Callable[[], None]
) -> None:
    """It does not try again as if nothing were: a person hears of it; then nothing is lost."""
    federation, machine = small.federation, small.machines[LYON]
    identifier = begin_held(small, LYON)
    node = federation.programs[LYON]
    machine.let_syncs_fail()
    federation.release()
    assert node.wait() == 1
    assert "Input/output error" in node.log()
    assert "  fix: " in node.log()
    mended()
    machine.make_sound()
    federation.start_node(LYON)
    assert federation.digests(identifier) == small.undisturbed


def test_an_orchestrator_whose_sync_fails_stops_and_goes_on_from_its_disk(
    small: Small, mended: Callable[[], None]
) -> None:
    """The update that came last is fetched again, those before it are there."""
    federation, machine = small.federation, small.machines["orchestrator"]
    identifier = begin_held(small, LYON)
    federation.handed_over(PARIS, identifier, 2)
    orchestrator = federation.programs["orchestrator"]
    machine.let_syncs_fail()
    federation.release()
    assert orchestrator.wait() == 1
    assert "Input/output error" in orchestrator.log()
    mended()
    machine.make_sound()
    federation.start_orchestrator()
    assert federation.digests(identifier) == small.undisturbed


def test_a_disk_that_is_read_only_is_said_and_nothing_begins(
    small: Small, mended: Callable[[], None]
) -> None:
    """Mounted anew as it should be, the node takes up its task."""
    federation, disk = small.federation, small.disks[LYON]
    identifier = begin_held(small, LYON)
    federation.programs[LYON].kill()
    disk.remount("ro")
    begun = federation.fedmq(LYON, "node", "start")
    assert begun.code == 1
    assert "Read-only file system" in begun.talk
    assert "  fix: " in begun.talk
    mended()
    disk.remount("rw")
    federation.start_node(LYON)
    federation.reached(LYON, 2)
    federation.release()
    assert federation.digests(identifier) == small.undisturbed


@pytest.mark.parametrize(("member", "lost_bytes"), [(LYON, 1), (LYON, 4_000), ("orchestrator", 1)])
def test_a_journal_without_its_end_goes_on_from_what_is_whole(
    small: Small, member: str, lost_bytes: int, mended: Callable[[], None]
) -> None:
    """Killed, and the last record torn (a page of 4,096 bytes): as if it had not been written.

    What it held had been received for: a request, an update. The broker has it no more, and it is
    asked for again when the deadline of the round passes.
    """
    federation = small.federation
    identifier = begin_held(small, LYON, round_deadline_s=15)
    federation.handed_over(PARIS, identifier, 2)
    federation.programs[member].kill()
    small.disks[member].shorten("journal.sqlite-wal", lost_bytes)
    mended()
    if member == LYON:
        federation.start_node(LYON)
        federation.reached(LYON, 2)
    else:
        federation.start_orchestrator()
    federation.release()
    assert federation.digests(identifier) == small.undisturbed
    assert federation.do(CENTRE, "orchestrator", "status", "--json").json["rejected"] == {}
