"""Leftovers: what nothing needs goes at the second look, all else stays."""

from dataclasses import replace
from pathlib import Path

from fedmq.disk import LocalDisk
from fedmq.messages.fields import Manifest
from fedmq.orchestrator.events import Trained
from fedmq.orchestrator.leftovers import Leftovers, is_counted, needed_payloads
from fedmq.orchestrator.state import Experiment, Stage
from fedmq.transport.spool import Spool
from fedmq.types import Digest
from tests.unit.orchestrator.arithmetic import LYON, PARIS, make_spec

OLD, NEW = Digest("a" * 64), Digest("b" * 64)


def test_what_two_looks_find_unneeded_goes(tmp_path: Path) -> None:
    """Whole payloads, parts of one, and a fold that was cut off."""
    disk = LocalDisk(tmp_path)
    leftovers = Leftovers(disk, Spool(disk))
    for name in (OLD, f"{NEW}.part", f"{NEW}.have", "lung.folding", "lung.folding.part"):
        disk.write(name, 0, b"x")
    assert leftovers.look(set()) == 0
    assert len(disk.names()) == 5
    assert leftovers.look({NEW}) == 3
    assert disk.names() == (f"{NEW}.have", f"{NEW}.part")


def test_what_came_after_the_first_look_stays_until_the_third(tmp_path: Path) -> None:
    """Its message may be on the way."""
    disk = LocalDisk(tmp_path)
    leftovers = Leftovers(disk, Spool(disk))
    leftovers.look(set())
    disk.write(NEW, 0, b"x")
    assert leftovers.look(set()) == 0
    assert disk.names() == (NEW,)
    assert leftovers.look(set()) == 1
    assert disk.names() == ()


def test_what_was_needed_at_the_last_look_is_looked_at_anew(tmp_path: Path) -> None:
    """Two looks in a row, not two looks."""
    disk = LocalDisk(tmp_path)
    leftovers = Leftovers(disk, Spool(disk))
    disk.write(OLD, 0, b"x")
    assert [leftovers.look(needed) for needed in (set(), {OLD}, set(), set())] == [0, 0, 0, 1]


def test_an_update_is_counted_from_its_answer_until_it_is_folded() -> None:
    """As `needed_payloads` has it, without a look at the updates of others."""
    spec, node = make_spec(), LYON
    update = Manifest(digest=OLD, size_bytes=1, chunk_bytes=1)
    said = Trained(
        node=node,
        round=1,
        attempt=0,
        update=update,
        num_cases=1,
        metrics={},
        duration_s=0.0,
    )
    initial = Manifest(digest=NEW, size_bytes=1, chunk_bytes=1)
    state = Experiment(spec=spec, model=initial, began_at=0.0, trained={node: said})
    for stage in Stage:
        now = replace(state, stage=stage)
        assert is_counted(now, node, OLD) == (OLD in needed_payloads([now], []))
        assert not is_counted(now, node, NEW)
        assert not is_counted(now, PARIS, OLD)
