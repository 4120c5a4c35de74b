"""Footprints of processes: who belongs to a trainer, and what all of them hold."""

import contextlib
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.node.cells import remove_folder
from fedmq.node.footprint import UNSEEN_BYTES, deleted_bytes, disk_bytes, members, memory_bytes

MB = 2**20
FAMILY = """
import mmap, os, signal
kept = bytearray(64 * 2**20)
shared = mmap.mmap(-1, 64 * 2**20)
shared.write(bytes(64 * 2**20))
if os.fork():
    print("ready", flush=True)
else:
    os.setsid()
signal.pause()
"""


@pytest.fixture
def family() -> Iterator[int]:
    """Return a process whose child has left its group; both hold the same pages."""
    with subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)


def test_a_child_belongs_to_its_trainer_wherever_it_went(family: int) -> None:
    """And nobody else does."""
    found = members(family)
    assert len(found) == 2
    assert family in found
    assert os.getpid() not in found
    assert members(2**22 + 1) == ()


def test_what_processes_share_counts_once(family: int) -> None:
    """Copies that nobody has changed, and memory that was made to be shared."""
    pids = members(family)
    assert 128 * MB < memory_bytes(pids, limit=0) < 192 * MB
    assert memory_bytes(pids, limit=10**12) > 192 * MB, "an upper bound is enough where it is"
    assert memory_bytes((2**22 + 1,), limit=0) == 0


def test_files_take_what_the_disk_gives_them(tmp_path: Path) -> None:
    """An empty one and a folder take a block each; what cannot be seen is too much."""
    assert disk_bytes(tmp_path) == 0
    (tmp_path / "file").write_bytes(bytes(100_000))
    assert 100_000 <= disk_bytes(tmp_path) < 110_000
    for number in range(100):
        (tmp_path / f"empty-{number}").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("/")
    assert disk_bytes(tmp_path) >= 100_000 + 102 * 4096
    assert disk_bytes(tmp_path) < 10 * MB
    assert disk_bytes(tmp_path / "none") == 0
    with contextlib.chdir(tmp_path / "folder"):
        for _ in range(3000):
            Path("d").mkdir()
            os.chdir("d")
    assert disk_bytes(tmp_path) == UNSEEN_BYTES
    remove_folder(tmp_path / "folder")


def test_deleted_files_count_while_somebody_has_them(tmp_path: Path) -> None:
    """Open or mapped, and once, whoever has them; of other folders none."""
    (tmp_path / "cell").mkdir()
    for folder in (tmp_path / "cell", tmp_path):
        with (folder / "file").open("w+b") as file:
            file.write(bytes(MB))
            file.flush()
            assert deleted_bytes((os.getpid(),), tmp_path / "cell") == 0
            (folder / "file").unlink()
            mapped = mmap.mmap(file.fileno(), MB)
            found = deleted_bytes((os.getpid(), os.getpid()), tmp_path / "cell")
            assert found == (MB if folder != tmp_path else 0)
        found = deleted_bytes((os.getpid(),), tmp_path / "cell")
        mapped.close()
        assert found == (MB if folder != tmp_path else 0)
    assert deleted_bytes((os.getpid(), 2**22 + 1), tmp_path / "cell") == 0
