"""Footprints: which processes a trainer consists of, and what they use together, from /proc."""

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

UNSEEN_BYTES: Final = 2**62
KEPT_MARGIN_BYTES: Final = 64 * 2**20
"""What file systems may count more than files say, of what trainers keep."""
_KIB: Final = 1024
_BLOCK_BYTES: Final = 512
_LEAST_BYTES: Final = 4096
_STAT_BYTES: Final = 4096
"""More than a line about a process has."""
_UPPER_BOUND: Final = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+)", re.MULTILINE)
_SHARES: Final = re.compile(r"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+)", re.MULTILINE)


def members(trainer: int) -> tuple[int, ...]:
    """Return the processes of a trainer: itself, who is in its group, and all that they started.

    In a cell nobody can leave both. Those that have ended and are not reaped are among them: they
    count for as long as their parent lives, against what the next job may start.
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - Paths take longer, and there may be thousands
        if name.isdecimal():
            with contextlib.suppress(OSError):
                # Behind its name, which a plan chooses: any bytes, brackets too.
                said = _read_all(f"/proc/{name}/stat").rpartition(b")")[2]
                _, parent, group = said.split(None, 3)[:3]
                pid = int(name)
                parents[pid] = int(parent)
                if trainer in (pid, int(group)):
                    found.add(pid)
    size = -1
    while size != len(found):
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return tuple(sorted(found))


def _read_all(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)


def memory_bytes(pids: Iterable[int], *, limit: int) -> int:
    """Return how much memory processes hold that is not a file's, in use or swapped out.

    What several share is counted once, where that is asked: above `limit`. Linux does not say it
    to everybody; what it does not say of a process is counted in full.
    """
    known = tuple(pids)
    most = sum(_sum(pid, "status", _UPPER_BOUND) for pid in known)
    if most <= limit:
        return most
    # Asked for again where its shares are not said: one that has ended meanwhile holds nothing.
    return sum(
        _sum(pid, "smaps_rollup", _SHARES) or _sum(pid, "status", _UPPER_BOUND) for pid in known
    )


def _sum(pid: int, name: str, pattern: re.Pattern[str]) -> int:
    """Return the sum of these lines of a file of /proc, in bytes; 0 where it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return 0
    return sum(int(number) for number in pattern.findall(text)) * _KIB


def disk_bytes(folder: Path) -> int:
    """Return how much the files below a folder take; each of them, empty or not, takes a block.

    What cannot be looked into, or lies deeper than a path can say, counts as more than there is.
    """
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    total += max(found.st_blocks * _BLOCK_BYTES, _LEAST_BYTES)
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it has gone meanwhile
        except OSError:
            return UNSEEN_BYTES
    return total


def deleted_bytes(pids: Iterable[int], folder: Path) -> int:
    """Return how much the deleted files take that processes have open, or mapped, from a folder.

    Of one that is mapped and not open, as much as is mapped: Linux does not tell more.
    """
    sizes: dict[tuple[int, ...], int] = {}
    inside = f"{folder}/"
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended, or Linux does not say it
            for place in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if inside in str(place.readlink()) and not (found := place.stat()).st_nlink:
                        key = os.major(found.st_dev), os.minor(found.st_dev), found.st_ino
                        sizes[key] = found.st_blocks * _BLOCK_BYTES
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines():
                if line.endswith(" (deleted)") and inside in line:
                    extent, _, offset, device, inode = line.split()[:5]
                    first, end = (int(word, 16) for word in extent.split("-"))
                    major, minor = (int(word, 16) for word in device.split(":"))
                    key = major, minor, int(inode)
                    sizes[key] = max(sizes.get(key, 0), int(offset, 16) + end - first)
    return sum(sizes.values())
