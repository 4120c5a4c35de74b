"""Namespaces: a process with a tree of files, a network and process numbers of its own.

See namespaces(7), user_namespaces(7), pid_namespaces(7). Root needs no user namespace for the
others; an ordinary user has one made, where the machine allows it.
"""

import contextlib
import ctypes
import os
import signal
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from fedmq.containment.cell import ROOT, Cell
from fedmq.containment.kernel import PR_SET_PDEATHSIG, call, pivot_root, prctl, syscall

_NEW_USER: Final = 0x10000000
_NEW_OTHERS: Final = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
"""Mount, uts, ipc, pid, network."""
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 1, 2, 4, 8
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 0x1000, 0x4000, 0x40000, 2
_SET_ATTRIBUTES: Final = 442
_OF_ALL_BELOW: Final = 0x8000
_HERE: Final = -100
_MOST_NODES: Final = 100_000
"""Files in scratch."""
DEVICES: Final = tuple(Path("/dev", name) for name in ("null", "full", "random", "urandom"))
"""Not /dev/zero: mapped, it gives memory that stays where nobody maps it."""
_OF_THE_MACHINE: Final = (Path("/proc/cpuinfo"), Path("/proc/meminfo"))


def enter_namespaces() -> None:
    """Put this process into new namespaces; its next child is the first in the one of processes.

    Raises:
        OSError: the machine does not let this user make them.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        call("unshare", _NEW_OTHERS)
        return
    call("unshare", _NEW_USER | _NEW_OTHERS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def split_in_two() -> None:
    """Return in a child that is the first of its namespace; this process stays to end as it does.

    When one of the two is killed the other goes too, and with the child all that it has started.
    SIGTERM to this process ends the child, and this one when all of them are gone.
    """
    child = os.fork()
    if child == 0:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    nothing = os.open(os.devnull, os.O_RDWR)
    for channel in range(3):  # who reads them waits for the child's end alone
        os.dup2(nothing, channel)
    _, status = os.waitpid(child, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def enter_root(cell: Cell, readable: Iterable[Path]) -> None:
    """Make a tree the root that has only what the cell may read, its own folders, and processes.

    Raises:
        OSError: the machine does not let this user mount.
    """
    root = cell.folder / ROOT
    _mount(None, Path("/"), None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICES, b"mode=755,size=4m")
    for path in cell.readable:
        _make_turnings(path, root)
    for path in readable:
        _bind(path, root, _READ_ONLY | _NO_SUID | _NO_DEVICES)
    for path in DEVICES:
        _bind(path, root, _READ_ONLY | _NO_SUID | _NO_PROGRAMS)
    _bind(cell.inputs, root, _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_PROGRAMS)
    _bind(cell.outputs, root, _NO_SUID | _NO_DEVICES | _NO_PROGRAMS)
    if cell.kept is not None:
        _bind(cell.kept, root, _NO_SUID | _NO_DEVICES | _NO_PROGRAMS)
    scratch = _place(cell.scratch, root)
    scratch.mkdir(parents=True, exist_ok=True)
    size = f"mode=777,size={cell.limits.scratch_bytes},nr_inodes={_MOST_NODES}"
    _mount("tmpfs", scratch, "tmpfs", _NO_SUID | _NO_DEVICES, size.encode())
    (root / "dev/shm").symlink_to(cell.scratch)
    _mount_processes(root)
    os.chdir(root)
    pivot_root(".", ".")
    call("umount2", b".", _DETACH)
    _set_attributes(Path("/"), _READ_ONLY, below=False)


def _mount_processes(root: Path) -> None:
    """Show the processes of the namespace; where that is forbidden, as in a container, none."""
    place = root / "proc"
    place.mkdir()
    flags = _READ_ONLY | _NO_SUID | _NO_DEVICES | _NO_PROGRAMS
    try:
        _mount("proc", place, "proc", flags)
    except PermissionError:
        for path in _OF_THE_MACHINE:
            _bind(path, root, flags)


def _make_turnings(path: Path, root: Path) -> None:
    """Make the folders from which a link's path goes up again, empty: the way is through them."""
    for number, name in enumerate(path.parts):
        if name == "..":
            _place(Path(*path.parts[:number]), root).mkdir(parents=True, exist_ok=True)


def _bind(path: Path, root: Path, flags: int) -> None:
    """Show a file or folder at its own place below `root`."""
    place = _place(path, root)
    with contextlib.suppress(FileExistsError):
        if path.is_dir():
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    _mount(str(path), place, None, _BIND | _RECURSIVE)
    _set_attributes(place, flags, below=True)


def _place(path: Path, root: Path) -> Path:
    return root / path.relative_to("/")


def _mount(
    source: str | None, place: Path, kind: str | None, flags: int, options: bytes | None = None
) -> None:
    name = None if source is None else os.fsencode(source)
    call("mount", name, os.fsencode(place), None if kind is None else kind.encode(), flags, options)


def _set_attributes(place: Path, flags: int, *, below: bool) -> None:
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    syscall(
        _SET_ATTRIBUTES,
        _HERE,
        os.fsencode(place),
        _OF_ALL_BELOW if below else 0,
        ctypes.byref(buffer),
        len(attributes),
    )
