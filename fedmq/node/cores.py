"""Cores: how many processors a task of this node may keep busy."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

MOST_BY_DEFAULT: Final = 8
"""More than that is for an operator to say: small 3-D networks hardly gain by it."""

_GROUPS: Final = Path("/sys/fs/cgroup")
_OF_THIS_PROCESS: Final = Path("/proc/self/cgroup")
_UNLIMITED: Final = "max"


def default_threads() -> int:
    """Return how many threads a task may have where the operator has said nothing.

    All processors that this process may use, MOST_BY_DEFAULT at most. Other nodes of the machine
    are not seen: who runs several divides, by FEDMQ_TASK_THREADS, by affinity or by a quota.
    """
    return min(usable_cores(), MOST_BY_DEFAULT)


def shared_threads(num_nodes: int) -> int:
    """Return how many threads a task may have where so many nodes are started side by side."""
    return max(1, min(usable_cores() // num_nodes, MOST_BY_DEFAULT))


def usable_cores() -> int:
    """Return the processors of this process: by its affinity, and by its groups' quota."""
    return count_cores(len(os.sched_getaffinity(0)), read_quota())


def count_cores(num_processors: int, quota: float) -> int:
    """Return how many threads `quota` processors' worth of time keeps busy: 1 at least.

    Of a broken number the whole part: who runs past the quota stands still until the next period.
    """
    return max(1, num_processors if math.isinf(quota) else min(num_processors, int(quota)))


def read_quota(groups: Path = _GROUPS, own: Path = _OF_THIS_PROCESS) -> float:
    """Return the processors' worth of time that control groups leave, infinite where they do not.

    The least of the process's group and those above it. In a container the path of the group may be
    one that only the machine outside sees; then the root of the tree is the container's.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    return min((quota for line in lines for quota in _quotas(groups, line)), default=math.inf)


def _quotas(groups: Path, line: str) -> Iterator[float]:
    _, controllers, path = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
        return
    # Version 2 has one tree for all; the first a tree for each controller, under either name.
    trees = [groups / controllers, groups / "cpu"] if controllers else [groups]
    for tree in trees:
        place = tree / path.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(tree):
                yield _quota_of(folder)


def _quota_of(folder: Path) -> float:
    try:
        if (folder / "cpu.max").exists():
            most, period = (folder / "cpu.max").read_text().split()
        else:
            most = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        if most == _UNLIMITED or int(most) < 0:
            return math.inf
        return int(most) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
