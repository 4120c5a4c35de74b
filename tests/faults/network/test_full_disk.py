"""A full disk under the broker: it takes nothing and says so; with room again, nothing was lost."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.network.conftest import SIZE, run_undisturbed
from tests.support.federation import CENTRE, LYON, PARIS, Federation, running_federation, until
from tests.support.small_disk import SmallDisk, small_disk

pytestmark = [
    pytest.mark.row("10"),
    pytest.mark.rabbitmq,
    pytest.mark.hub_broker,
    pytest.mark.small_disks,
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("full broker"),
]

DISK_MB = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the federation is to be."""
    return tmp_path_factory.mktemp("full") / "f"


@pytest.fixture(scope="module")
def disk(folder: Path) -> Iterator[SmallDisk]:
    """Return the disk of the broker's data, and of nothing else."""
    data = folder / CENTRE / "hub" / "broker" / "data"
    with small_disk(data, size_mb=DISK_MB) as made:
        yield made


@pytest.fixture(scope="module")
def crowded(folder: Path, disk: SmallDisk) -> Iterator[Federation]:
    """Return a federation whose hub is on that disk."""

    def way(name: str) -> tuple[str, ...]:
        return tuple(disk.command) if name == CENTRE else ()

    with running_federation(folder, None, way=way) as running:
        yield running


def test_a_broker_without_room_loses_nothing_that_it_has_confirmed(
    crowded: Federation, disk: SmallDisk, mended: Callable[[], None]
) -> None:
    """Full while a node trains: its update waits at the node, and those that came before stay."""
    undisturbed = run_undisturbed(crowded, SIZE)
    crowded.hold(LYON, 1)
    config = f"{SIZE}\n{crowded.hold_config}"
    held = crowded.submit(crowded.write_experiment(config=config, rounds=2))
    crowded.reached(LYON, 1)
    crowded.handed_over(PARIS, held, 1)
    disk.fill()
    crowded.release()
    until(lambda: crowded.status(LYON)["unsent"] == 1, "the update that waits")
    said = until(lambda: "disk is nearly full" in status(crowded) and status(crowded), "the reason")
    assert "its disk is nearly full: 0 MB are free" in said
    assert crowded.status(LYON)["unsent"] == 1
    assert crowded.broker.running(), "it waits for room itself"
    mended()
    disk.clear()
    assert crowded.digests(held) == undisturbed


def status(federation: Federation) -> str:
    """Return what `fedmq status` says."""
    return federation.do(CENTRE, "status").talk
