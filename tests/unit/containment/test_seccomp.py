"""The filter of system calls, run by hand: what it refuses, what it lets by, on both machines."""

import errno
import mmap
import socket
import struct

import pytest

from fedmq.containment.seccomp import _AUDIT, _HELD_BY_NAMESPACES, _NUMBERS, filter_code

MACHINES = ("x86_64", "aarch64")
ALLOWED = 0x7FFF0000
FORK_FLAGS = 0x01200011
MAP_SHARED_VALIDATE = 3
THREAD_FLAGS = 0x3D0F00


def run(code: bytes, number: int, first: int = 0, flags: int = 0, *, machine: int) -> int:
    """Return the verdict of a filter on a call: the meaning of the six instructions it uses."""
    call = struct.pack("<IIQ6Q", number, machine, 0, first, 0, 0, flags, 0, 0)
    lines = list(struct.iter_unpack("<HBBI", code))
    at = word = 0
    while True:
        operation, yes, no, value = lines[at]
        at += 1
        match operation:
            case 0x20:
                (word,) = struct.unpack_from("<I", call, value)
            case 0x54:
                word &= value
            case 0x15:
                at += yes if word == value else no
            case 0x35:
                at += yes if word >= value else no
            case 0x45:
                at += yes if word & value else no
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(operation)


def verdict(
    name: str, first: int = 0, *, machine: str = "x86_64", is_in_namespaces: bool = True
) -> int:
    """Return 0 for a call that is let by, else its error."""
    code = filter_code(machine, is_in_namespaces=is_in_namespaces)
    number = _NUMBERS[name][MACHINES.index(machine)]
    answer = run(code, number, first, machine=_AUDIT[machine])
    return 0 if answer == ALLOWED else answer & 0xFFFF


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("is_in_namespaces", [True, False])
def test_every_call_of_the_table_is_refused(machine: str, *, is_in_namespaces: bool) -> None:
    """But for those that are told by an argument, and those that namespaces hold."""
    told_apart = {"clone", "prctl", "prlimit64", "socket", "clone3", "mmap"}
    if is_in_namespaces:
        told_apart |= _HELD_BY_NAMESPACES.keys()
    for name, numbers in _NUMBERS.items():
        if name not in told_apart and numbers[MACHINES.index(machine)] >= 0:
            given = verdict(name, machine=machine, is_in_namespaces=is_in_namespaces)
            assert given == errno.EPERM, name
    assert verdict("clone3", machine=machine) == errno.ENOSYS, "programs fall back to clone"


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_are_told_apart_by_their_argument(machine: str) -> None:
    """Forks, threads and limits of its own are let by; new namespaces and others' limits not."""
    for name, first, wanted in (
        ("clone", FORK_FLAGS, 0),
        ("clone", THREAD_FLAGS, 0),
        ("clone", 0x10000000 | FORK_FLAGS, errno.EPERM),
        ("clone", 0x00020000 | FORK_FLAGS, errno.EPERM),
        ("prlimit64", 0, 0),
        ("prlimit64", 4711, errno.EPERM),
        ("prctl", 1, errno.EPERM),
        ("prctl", 15, 0),
        ("socket", socket.AF_UNIX, 0),
        ("socket", socket.AF_INET, errno.EPERM),
        ("socket", socket.AF_INET6, errno.EPERM),
        ("socket", socket.AF_NETLINK, errno.EPERM),
    ):
        assert verdict(name, first, machine=machine) == wanted, (name, first)
    assert verdict("socket", socket.AF_UNIX, machine=machine, is_in_namespaces=False)


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_that_belongs_to_no_process_is_refused(machine: str) -> None:
    """Shared and of no file: it stays where nobody maps it. Private, or of a file, is let by."""
    code = filter_code(machine, is_in_namespaces=True)
    number = _NUMBERS["mmap"][MACHINES.index(machine)]
    for flags, is_refused in (
        (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, False),
        (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_STACK, False),
        (mmap.MAP_SHARED, False),
        (mmap.MAP_PRIVATE, False),
        (mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, True),
        (mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE, True),
        (MAP_SHARED_VALIDATE | mmap.MAP_ANONYMOUS, True),
    ):
        answer = run(code, number, flags=flags, machine=_AUDIT[machine])
        assert (answer != ALLOWED) is is_refused, flags


def test_tables_of_other_machines_are_no_way_around() -> None:
    """32-bit calls and x32 have other numbers for the same."""
    code = filter_code("x86_64", is_in_namespaces=True)
    getpid = 39
    assert run(code, getpid, machine=_AUDIT["x86_64"]) == ALLOWED
    assert run(code, getpid, machine=0x40000003) != ALLOWED
    assert run(code, 0x40000000 | getpid, machine=_AUDIT["x86_64"]) != ALLOWED


def test_no_number_stands_twice_in_the_table() -> None:
    """A slip of the pen would leave a call open."""
    for column in range(2):
        numbers = [one[column] for one in _NUMBERS.values() if one[column] >= 0]
        assert len(numbers) == len(set(numbers))
