"""Landlock: rights on files that a process gives up for good, without being root.

https://docs.kernel.org/userspace-api/landlock.html; the numbers are those of linux/landlock.h. The
rules hold for the calling thread and what it starts: put them on before there are others.
"""

import ctypes
import os
import stat
from collections.abc import Iterable
from enum import IntFlag
from pathlib import Path
from typing import Final

from fedmq.containment.kernel import syscall

LEAST_VERSION: Final = 3
"""The first that keeps a process from cutting files short (Linux 6.2)."""
SCOPES_VERSION: Final = 6
"""The first that keeps signals inside (Linux 6.12)."""
_NETWORK_VERSION: Final = 4
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_ALL_TCP: Final = 0b11
_ALL_SCOPES: Final = 0b11
"""Abstract sockets of others, and signals to others."""
_RIGHTS_OF_VERSION: Final = (0, 13, 14, 15, 15, 16)
"""How many rights each version knows; from 5 on there are 16."""


class Right(IntFlag):
    """What can be done with a file or below a folder."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ: Final = Right.EXECUTE | Right.READ_FILE | Right.READ_DIR
WRITE: Final = Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE
OWN: Final = (
    READ
    | WRITE
    | (Right.REMOVE_DIR | Right.REMOVE_FILE | Right.MAKE_DIR | Right.MAKE_REG | Right.MAKE_SYM)
    | (Right.MAKE_SOCK | Right.MAKE_FIFO | Right.REFER)
)
KEEP: Final = Right.READ_DIR | WRITE | Right.MAKE_REG | Right.REMOVE_FILE
_OF_FILES: Final = (
    Right.EXECUTE | Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE | Right.IOCTL_DEV
)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Return the version that the kernel speaks, 0 where it has no Landlock or it is off."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _CREATE_VERSION)
    except OSError:
        return 0


def restrict(rules: Iterable[tuple[Path, Right]]) -> None:
    """Leave this thread with these rights on files; no TCP, no signal and no abstract socket out.

    What is not there is passed over. Privileges that a program would give have to be off already.

    Raises:
        OSError: the kernel refuses.
    """
    spoken = version()
    known = Right((1 << _RIGHTS_OF_VERSION[min(spoken, len(_RIGHTS_OF_VERSION) - 1)]) - 1)
    attributes = _Ruleset(
        known,
        _ALL_TCP if spoken >= _NETWORK_VERSION else 0,
        _ALL_SCOPES if spoken >= SCOPES_VERSION else 0,
    )
    size = 24 if spoken >= SCOPES_VERSION else 16 if spoken >= _NETWORK_VERSION else 8
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    for path, rights in rules:
        _allow(ruleset, path, rights & known)
    syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: Right) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not there, or out of reach anyway
        return
    is_folder = stat.S_ISDIR(os.fstat(place).st_mode)
    rule = _PathBeneath(rights if is_folder else rights & _OF_FILES, place)
    syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(place)
