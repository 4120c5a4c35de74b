"""Footprints: which processes a trainer consists of, and what they use together, from /proc."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_KIB: Final = 1024
_ENDED: Final = frozenset({"Z", "X"})
_UPPER_BOUND: Final = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+)", re.MULTILINE)
_SHARES: Final = re.compile(r"^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+)", re.MULTILINE)


def members(trainer: int) -> tuple[int, ...]:
    """Return the processes of a trainer: itself, who is in its group, and all that they started.

    In a cell nobody can leave both. Those that have ended and are not yet reaped are left out.
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with contextlib.suppress(OSError):
                state, parent, group = (place / "stat").read_text().rpartition(")")[2].split()[:3]
                if state not in _ENDED:
                    pid = int(place.name)
                    parents[pid] = int(parent)
                    if trainer in (pid, int(group)):
                        found.add(pid)
    size = -1
    while size != len(found):
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return tuple(sorted(found))


def memory_bytes(pids: Iterable[int], *, limit: int) -> int:
    """Return how much memory processes hold that is not a file's, in use or swapped out.

    What several share is counted once, where that is asked: above `limit`. Linux does not say it
    to everybody; what it does not say of a process is counted in full.
    """
    most = {pid: _sum(pid, "status", _UPPER_BOUND) for pid in pids}
    if sum(most.values()) <= limit:
        return sum(most.values())
    return sum(_sum(pid, "smaps_rollup", _SHARES) or most[pid] for pid in most)


def _sum(pid: int, name: str, pattern: re.Pattern[str]) -> int:
    """Return the sum of these lines of a file of /proc, in bytes; 0 where it cannot be read."""
    try:
        text = Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return 0
    return sum(int(number) for number in pattern.findall(text)) * _KIB
