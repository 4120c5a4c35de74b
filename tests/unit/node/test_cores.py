"""Cores: affinity and quota are seen, and nodes that are started together divide."""

import math
import os
from pathlib import Path

import pytest

from fedmq.node.cores import (
    MOST_BY_DEFAULT,
    count_cores,
    default_threads,
    read_quota,
    shared_threads,
    usable_cores,
)


def write_groups(folder: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Return a tree of control groups, and what says in which of them the process is."""
    groups = folder / "cgroup"
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    (folder / "own").write_text(own)
    return groups, folder / "own"


@pytest.mark.parametrize(
    ("processors", "quota", "cores"),
    [(4, math.inf, 4), (4, 2.0, 2), (4, 2.9, 2), (4, 0.5, 1), (2, 16.0, 2), (1, math.inf, 1)],
)
def test_the_smaller_of_affinity_and_quota_counts(
    processors: int, quota: float, cores: int
) -> None:
    """A part of a processor keeps no thread busy, and one thread there always is."""
    assert count_cores(processors, quota) == cores


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3.0),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "200000 100000"}, 2.0),
        ("0::/unseen\n", {"cpu.max": "200000 100000"}, 2.0),
        (
            "3:cpu,cpuacct:/x\n0::/\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "50000", "cpu,cpuacct/x/cpu.cfs_period_us": "25000"},
            2.0,
        ),
        (
            "3:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000"},
            math.inf,
        ),
        ("4:memory:/\n", {"memory/cpu.max": "1 1"}, math.inf),
        ("0::/\n", {"cpu.max": "a riddle"}, math.inf),
        ("0::/\n", {"cpu.max": "100000 0"}, math.inf),
        ("", {}, math.inf),
    ],
)
def test_a_quota_of_either_version_of_control_groups_is_read(
    tmp_path: Path, own: str, files: dict[str, str], quota: float
) -> None:
    """The least of the group and those above; what is not there or no number limits nothing."""
    assert read_quota(*write_groups(tmp_path, own, files)) == quota


def test_no_control_groups_limit_nothing(tmp_path: Path) -> None:
    """Where the system says nothing, affinity alone counts."""
    assert read_quota(tmp_path, tmp_path / "none") == math.inf


def test_fewer_processors_allowed_are_fewer_threads() -> None:
    """Affinity is the operator's way to divide a machine: `taskset`, CPUAffinity= of systemd."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == default_threads() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_nodes_that_are_started_together_share_the_processors() -> None:
    """Together no more than there are, and one each however many they are."""
    cores = usable_cores()
    assert shared_threads(1) == default_threads() == min(cores, MOST_BY_DEFAULT)
    assert all(shared_threads(nodes) * nodes <= cores for nodes in range(1, cores + 1))
    assert shared_threads(10 * cores) == 1
