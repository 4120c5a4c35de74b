"""Limits: how much a process may use, and as whom it runs."""

import contextlib
import os
import resource
from pathlib import Path
from typing import Final

from fedmq.containment.cell import Limits
from fedmq.containment.kernel import PR_SET_KEEPCAPS, drop_bounds, keep_capabilities, prctl

_FIRST_OWN_USER: Final = 0x70000000
"""From here on root gives each process a user of its own, far from those that people have."""
_NOBODY: Final = 65534
_NICENESS: Final = 10
_PASS_OVER_MODES: Final = 1 << 1
"""CAP_DAC_OVERRIDE: who is root reads a dataset whoever owns it."""


def set_limits(limits: Limits) -> None:
    """Bound what this process and each of its children may use, and have Linux end it first."""
    memory = limits.memory_bytes or _memory_of_the_machine()
    for kind, most in (
        (resource.RLIMIT_CORE, 0),  # a core file would hold patients' data
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.num_open_files),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        _set_limit(kind, most)
    os.nice(_NICENESS)  # the node answers the broker whatever plans do
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def take_own_user(limits: Limits, number: int, *, counts_apart: bool) -> None:
    """Bound the number of processes, and give up all privileges.

    Linux counts the processes of a user. Root, whom it does not count, becomes a user of its own,
    told from others by `number`, which can still read what root can, as far as the other means let
    it. `counts_apart`: whether this is a user namespace, where a user's count begins anew.
    """
    drop_bounds()
    if os.geteuid() != 0:
        others = 0 if counts_apart else _num_tasks(os.geteuid())
        _set_limit(resource.RLIMIT_NPROC, others + limits.num_processes)
        keep_capabilities(0)
        return
    _set_limit(resource.RLIMIT_NPROC, limits.num_processes)
    prctl(PR_SET_KEEPCAPS, 1)
    with contextlib.suppress(OSError):
        os.setgroups([])
    for user in (_FIRST_OWN_USER + number, _NOBODY):
        # A container may lack the first; one that has neither counts its root as any other user.
        with contextlib.suppress(OSError):
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            break
    keep_capabilities(_PASS_OVER_MODES)


def _set_limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (bound, bound))


def _memory_of_the_machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _num_tasks(user: int) -> int:
    """Return how many threads a user has, in all processes."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if folder.stat().st_uid == user:
                    total += sum(1 for _ in (folder / "task").iterdir())
    return total
