"""Calls of Linux for which Python has no name."""

import ctypes
import os
import platform
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38

MACHINE: Final = platform.machine()
_CAPGET: Final = {"x86_64": 125, "aarch64": 90}
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_CAPABILITY_VERSION: Final = 0x20080522


def call(name: str, *arguments: int | bytes | None) -> int:
    """Return what a function of the C library returns.

    Raises:
        OSError: it says no.
    """
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(int(getattr(_LIBC, name)(*words)))


def syscall(number: int, *arguments: object) -> int:
    """Return what a system call returns; integers are passed as longs.

    Raises:
        OSError: it says no.
    """
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(int(_LIBC.syscall(ctypes.c_long(number), *words)))


def prctl(option: int, *arguments: int) -> None:
    """Change something about this process or thread.

    Raises:
        OSError: the kernel says no.
    """
    call("prctl", option, *arguments, *([0] * (4 - len(arguments))))


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root of this mount namespace and hang the old one under `old`."""
    syscall(_PIVOT_ROOT[MACHINE], os.fsencode(new), os.fsencode(old))


def drop_bounds() -> None:
    """Let no program give this process a capability, as far as it may decide that."""
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:  # past the last that this kernel knows, or not this process's to decide
            return


def keep_capabilities(kept: int) -> None:
    """Have of these capabilities, a mask of bits below 32, those that are there, and no other."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the upper bits of each
    syscall(_CAPGET[MACHINE], header, sets)
    left = kept & sets[1]
    syscall(_CAPGET[MACHINE] + 1, header, (ctypes.c_uint32 * 6)(left, left))


def _checked(result: int) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
