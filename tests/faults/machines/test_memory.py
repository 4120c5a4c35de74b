"""Memory that runs out, of a trainer or of a node: a code for each, and nothing is lost."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.machines.conftest import Small, begin_held
from tests.faults.machines.test_absences import begin, ended, require_models
from tests.support.federation import FEDMQ, LYON, PARIS, until

pytestmark = [
    pytest.mark.row("16"),
    pytest.mark.rabbitmq,
    pytest.mark.small_disks,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("machines"),
]

KEEPS_NOTHING = ("MALLOC_MMAP_THRESHOLD_=65536",)
"""Each large block comes from the kernel and goes back to it: else what a node had freed in earlier
experiments may be enough for this one."""
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def children_of(pid: int) -> list[int]:
    """Return the children of a process."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for path in children for word in path.read_text().split()]


def trainer_of(pid: int) -> int:
    """Return the one child of a node, once those of earlier experiments have gone."""
    until(lambda: len(children_of(pid)) == 1, "the end of other trainers")
    (trainer,) = children_of(pid)
    return trainer


def address_space(pid: int) -> int:
    """Return how many bytes a process has mapped."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def test_trainers_without_memory_are_left_out_with_a_code_and_take_part_again(
    small: Small,
) -> None:
    """Killed as the kernel does it; then refused memory (RLIMIT_AS); then there is enough."""
    federation, paris = small.federation, small.federation.programs[PARIS]
    federation.hold(PARIS, 1)
    identifier = begin(
        federation, rounds=3, round_deadline_s=3_600, spoils=("sound", "memory"), spoiled_site=PARIS
    )
    federation.reached(PARIS, 1)
    resource.prlimit(paris.pid, resource.RLIMIT_AS, (4 * 2**30, resource.RLIM_INFINITY))
    try:
        os.kill(trainer_of(paris.pid), signal.SIGKILL)
        report = ended(federation, identifier)
    finally:
        resource.prlimit(paris.pid, resource.RLIMIT_AS, UNLIMITED)
        federation.release()
    outcomes = [
        next(one["outcome"] for one in record["outcomes"] if one["node"] == PARIS)
        for record in report["records"]
    ]
    assert outcomes == ["worker_died", "out_of_memory", "updated"]
    assert require_models(federation, report) == [(LYON,), (LYON,), (LYON, PARIS)]
    assert paris.is_running


def test_a_node_without_memory_ends_and_goes_on_when_it_is_started_again(
    small: Small, mended: Callable[[], None]
) -> None:
    """It may get nothing more from the kernel from the middle of a training on."""
    federation = small.federation
    federation.programs[PARIS].kill()
    federation.commands[PARIS] = ["env", *KEEPS_NOTHING, *FEDMQ]
    paris = federation.start_node(PARIS)
    identifier = begin_held(small, PARIS)
    resource.prlimit(
        paris.pid, resource.RLIMIT_AS, (address_space(paris.pid), resource.RLIM_INFINITY)
    )
    federation.release()
    until(lambda: not paris.is_running, "the end of a node without memory")
    del federation.commands[PARIS]
    mended()
    federation.start_node(PARIS)
    assert federation.digests(identifier) == small.undisturbed
