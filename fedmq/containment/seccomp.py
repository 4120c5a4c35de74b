"""Seccomp: system calls that a process gives up for good, as a small filter in classic BPF.

https://docs.kernel.org/userspace-api/seccomp_filter.html. A call that is refused fails with EPERM;
newer calls that would do the same under another number are refused too, so that programs fall back.
"""

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fedmq.containment.kernel import MACHINE, PR_SET_PDEATHSIG, PR_SET_SECCOMP, prctl

_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000
_LOAD, _IS_EQUAL, _IS_AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KEEP_BITS: Final = 0x54
_SHARED_OF_NO_FILE: Final = 0x21
"""Of mmap: MAP_ANONYMOUS with MAP_SHARED, or with MAP_SHARED_VALIDATE, which has its bit."""
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16
_AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32: Final = 0x40000000
"""Numbers from here on are those of another table of the same machine."""
_NEW_NAMESPACES: Final = 0x7E020000
"""Of clone: mount, cgroup, uts, ipc, user, pid and network."""

# Name -> number on x86_64, on aarch64 (-1: not there).
_HELD_BY_NAMESPACES: Final[dict[str, tuple[int, int]]] = {
    # Leaving the process group; modes, owners and times, which Landlock does not keep.
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "fchown": (93, 55),
    "lchown": (94, -1),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "utime": (132, -1),
    "utimes": (235, -1),
    "futimesat": (261, -1),
    "utimensat": (280, 88),
}
_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    **_HELD_BY_NAMESPACES,
    "socket": (41, 198),
    "clone": (56, 220),
    "clone3": (435, 435),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # Memory and queues that other processes can name.
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # Memory that belongs to no process once it is filled, so that no count of processes has it.
    "mmap": (9, 222),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # Ways around this filter, and parts of the kernel that no plan needs.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "fanotify_init": (300, 262),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "personality": (135, 92),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    # Files elsewhere.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
}
_ABSENT: Final = frozenset({"clone3"})
"""Its flags lie in memory, which a filter cannot read: said not to be there, programs use clone."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """Refuses a call whose argument, of it the bits of `mask`, answers to `code` and `value`."""

    argument: int
    code: int
    value: int
    mask: int = 0xFFFFFFFF
    is_refused_if: bool = True


def is_known_machine() -> bool:
    """Return whether the numbers of this machine's calls stand in the table."""
    return MACHINE in _AUDIT


def refuse_calls(*, is_in_namespaces: bool) -> None:
    """Leave this thread without the calls of the table, less those that its namespaces hold.

    They hold sockets of the same machine (AF_UNIX) too.

    Raises:
        OSError: the kernel refuses.
    """
    code = filter_code(MACHINE, is_in_namespaces=is_in_namespaces)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))


def filter_code(machine: str, *, is_in_namespaces: bool) -> bytes:
    """Return the filter for a machine: a pure function, so that tests can run it by hand."""
    column = 0 if machine == "x86_64" else 1
    tests = {
        "clone": _Test(argument=0, code=_HAS_BITS, value=_NEW_NAMESPACES),
        "prctl": _Test(argument=0, code=_IS_EQUAL, value=PR_SET_PDEATHSIG),
        "prlimit64": _Test(argument=0, code=_IS_EQUAL, value=0, is_refused_if=False),
        "mmap": _Test(
            argument=3, code=_IS_EQUAL, value=_SHARED_OF_NO_FILE, mask=_SHARED_OF_NO_FILE
        ),
    }
    if is_in_namespaces:
        tests["socket"] = _Test(
            argument=0, code=_IS_EQUAL, value=socket.AF_UNIX, is_refused_if=False
        )
    lines = [
        _line(_LOAD, _MACHINE_AT),
        _line(_IS_EQUAL, _AUDIT[machine], yes=1),
        _line(_RETURN, _REFUSE | errno.EPERM),
        _line(_LOAD, _NUMBER_AT),
        _line(_IS_AT_LEAST, _X32, no=1),
        _line(_RETURN, _REFUSE | errno.EPERM),
    ]
    for name, numbers in _NUMBERS.items():
        if numbers[column] < 0 or (is_in_namespaces and name in _HELD_BY_NAMESPACES):
            continue
        lines += _refusal(numbers[column], name, tests.get(name))
    lines.append(_line(_RETURN, _ALLOW))
    return b"".join(lines)


def _refusal(number: int, name: str, test: _Test | None) -> Sequence[bytes]:
    if test is None:
        code = errno.ENOSYS if name in _ABSENT else errno.EPERM
        return [_line(_IS_EQUAL, number, no=1), _line(_RETURN, _REFUSE | code)]
    yes, no = (0, 1) if test.is_refused_if else (1, 0)
    return [
        _line(_IS_EQUAL, number, no=5),
        _line(_LOAD, _ARGUMENTS_AT + 8 * test.argument),
        _line(_KEEP_BITS, test.mask),
        _line(test.code, test.value, yes=yes, no=no),
        _line(_RETURN, _REFUSE | errno.EPERM),
        _line(_RETURN, _ALLOW),
    ]


def _line(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)
