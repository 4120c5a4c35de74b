"""Footprints of processes: who belongs to a trainer, and what all of them hold."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fedmq.node.footprint import members, memory_bytes

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
