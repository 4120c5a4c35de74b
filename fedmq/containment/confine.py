"""Confining: the one order in which a process loses what it will not need, for good.

It has to be alone in its process: a thread that is there already would keep everything.
"""

import errno
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fedmq.containment import landlock, limits, namespaces, seccomp
from fedmq.containment.cell import Cell, Means, installed_paths, outermost
from fedmq.containment.kernel import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl

_OF_THE_MACHINE: Final = tuple(
    Path("/proc", name)
    for name in ("cpuinfo", "meminfo", "stat", "self", "sys/vm/overcommit_memory")
)


def confine(cell: Cell, parent: int) -> None:
    """Return confined to `cell`, with all its means, and ending when the process `parent` does.

    With namespaces it returns in a child, and this process only waits for its end.

    Raises:
        OSError: one of the means cannot be had; nothing may be run then.
    """
    readable = outermost((*installed_paths(), *cell.readable))
    _require_hidden(cell.folder, readable)
    has_namespaces = Means.NAMESPACES in cell.means
    limits.set_limits(cell.limits)
    number = os.getpid()  # no other process of the machine has it now
    if has_namespaces:
        namespaces.enter_namespaces()
        die_with(parent)  # the kernel forgets it where privileges change
        namespaces.split_in_two()
        namespaces.enter_root(cell, readable)
    os.chdir(cell.scratch)
    os.umask(0o077)
    limits.take_own_user(cell.limits, number, counts_apart=has_namespaces)
    if has_namespaces:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        die_with(parent)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    if Means.LANDLOCK in cell.means:
        landlock.restrict(_rules(cell, readable))
    if Means.SECCOMP in cell.means:
        seccomp.refuse_calls(is_in_namespaces=has_namespaces)


def die_with(parent: int) -> None:
    """Make the kernel kill this process when the thread that started it ends."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


def _require_hidden(folder: Path, readable: Iterable[Path]) -> None:
    """Return if the cell's folder, and with it that of its program, lies in nothing readable.

    Raises:
        OSError: it does.
    """
    for path in readable:
        if folder.resolve().is_relative_to(path.resolve()):
            text = "FEDMQ_HOME lies within a folder that every plan may read; move it"
            raise OSError(errno.EPERM, text, str(path))


def _rules(cell: Cell, readable: tuple[Path, ...]) -> list[tuple[Path, landlock.Right]]:
    processes = (Path("/proc"),) if Means.NAMESPACES in cell.means else _OF_THE_MACHINE
    devices = landlock.Right.READ_FILE | landlock.Right.WRITE_FILE
    return [
        *((path, landlock.READ) for path in (*readable, *processes, cell.inputs)),
        *((path, devices) for path in namespaces.DEVICES),
        (cell.outputs, landlock.WRITE),
        (cell.scratch, landlock.OWN),
        *(() if cell.kept is None else ((cell.kept, landlock.KEEP),)),
    ]
