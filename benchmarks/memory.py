"""Memory of processes and of the machine, as Linux counts it; everything in MB of 10^6 bytes."""

import os
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PERIOD_S: Final = 0.2
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_KIB_PER_MB: Final = 1_000_000 / 1024
_PARENT, _RESIDENT = 1, 21
"""Of /proc/PID/stat, counted after the name in brackets."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at one moment."""

    parent: int
    resident_mb: float


def sample_processes() -> dict[int, Sample]:
    """Return every process of the machine by its id."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = read_sample(Path(entry.path, "stat").read_text("latin-1"))
    return found


def read_sample(stat: str) -> Sample:
    """Return what a line of /proc/PID/stat says; a zombie holds no memory."""
    fields = stat.rpartition(")")[2].split()
    resident = int(fields[_RESIDENT]) * _PAGE_BYTES / 1_000_000
    return Sample(parent=int(fields[_PARENT]), resident_mb=0.0 if fields[0] in "ZX" else resident)


def find_tree(processes: Mapping[int, Sample], roots: Iterable[int]) -> set[int]:
    """Return those of `roots` that are there, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for pid, one in processes.items():
        children.setdefault(one.parent, []).append(pid)
    tree: set[int] = set()
    left = [root for root in roots if root in processes]
    while left:
        pid = left.pop()
        if pid not in tree:
            tree.add(pid)
            left.extend(children.get(pid, ()))
    return tree


def share_bytes(pid: int, kind: str = "Pss") -> int:
    """Return a process's share of memory, of one kind in smaps; 0 once it has ended.

    `Pss` has the pages of files too, `Pss_Anon` what the process itself has made.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def available_mb() -> float:
    """Return how much memory the machine can still give without swapping."""
    return _kib_of(Path("/proc/meminfo").read_text(), "MemAvailable") / _KIB_PER_MB


def peak_mb(pid: int) -> float:
    """Return the most memory that a process ever had resident, 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return round(_kib_of(text, "VmHWM") / _KIB_PER_MB, 1)


def _kib_of(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


class TreeWatch:
    """Samples process trees on a thread, and keeps the most that each held at once.

    It is the plain sum of resident sizes: what processes share counts more than once.
    """

    def __init__(self, roots: Mapping[str, int]) -> None:
        self._roots = dict(roots)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peaks_mb: dict[str, float] = dict.fromkeys(roots, 0.0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(PERIOD_S):
            processes = sample_processes()
            for name, root in self._roots.items():
                tree = find_tree(processes, [root])
                held = sum(processes[pid].resident_mb for pid in tree)
                self.peaks_mb[name] = max(self.peaks_mb[name], round(held, 1))
