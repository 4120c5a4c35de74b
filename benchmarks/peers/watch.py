"""A command under watch: ended with all its processes when it takes too long or too much memory."""

import math
import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Final

from benchmarks.memory import PERIOD_S, available_mb, find_tree, sample_processes
from fedmq.hub.processes import Process, find_process, wait_for_end

MARK: Final = "FEDMQ_BENCH_MARK"
"""In the environment of a command and so of all that it starts, whoever their parent is later."""
_SAMPLE_S: Final = 1.0
"""The harnesses sample too: all of /proc is not read more often than it has to be."""
_END_TRIES: Final = 20


class Ending(StrEnum):
    """How a command ended."""

    FINISHED = "finished"
    FAILED = "failed"
    LATE = "late"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a command is ended."""

    seconds: float
    least_available_mb: float = 1_500.0
    """The machine has to have so much memory left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line that a command wrote to stderr."""

    at_s: float
    """Seconds after its start."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What became of a command."""

    ending: Ending
    output: str
    """What it wrote to stdout."""
    notes: tuple[Note, ...]
    peak_mb: float
    """The most that all its processes held at once, as the sum of their resident sizes."""
    seconds: float


def judge(*, seconds: float, available: float, limits: Limits) -> Ending | None:
    """Return why a command that runs has to be ended now; None: it may go on."""
    if available < limits.least_available_mb:
        return Ending.TOO_LARGE
    return Ending.LATE if seconds > limits.seconds else None


def run_watched(
    command: Sequence[str],
    environment: Mapping[str, str],
    limits: Limits,
    *,
    available: Callable[[], float] = available_mb,
) -> Watched:
    """Return what became of a command once nothing of it runs any more.

    Raises:
        OSError: it cannot be started.
    """
    mark = f"{MARK}={secrets.token_hex(8)}"
    name, _, value = mark.partition("=")
    began = time.monotonic()
    notes: list[Note] = []
    peak = 0.0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            env={**environment, name: value},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        reader = threading.Thread(target=_read, args=(process.stderr, began, notes), daemon=True)
        reader.start()
        seen: dict[int, Process] = {}
        verdict: Ending | None = None
        try:
            sampled_at = -math.inf
            while process.poll() is None and verdict is None:
                now = time.monotonic()
                verdict = judge(seconds=now - began, available=available(), limits=limits)
                if verdict is not None or now - sampled_at >= _SAMPLE_S:
                    sampled_at = now
                    peak = max(peak, _sample(process.pid, seen))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PERIOD_S)
        finally:
            _end_all(mark, seen)
            process.wait()
            reader.join()
        output.seek(0)
        return Watched(
            ending=verdict or (Ending.FAILED if process.returncode else Ending.FINISHED),
            output=output.read(),
            notes=tuple(notes),
            peak_mb=round(peak),
            seconds=time.monotonic() - began,
        )


def _read(stream: IO[str], began: float, notes: list[Note]) -> None:
    # Each as it comes: its time is what counts.
    with stream:
        notes.extend(Note(at_s=time.monotonic() - began, text=line.rstrip()) for line in stream)


def _sample(root: int, seen: dict[int, Process]) -> float:
    """Return the memory of a tree now, in MB; remember whom it is made of.

    Who lost its parent stays in it.
    """
    processes = sample_processes()
    alive = [pid for pid, one in seen.items() if pid in processes and one.is_running()]
    tree = find_tree(processes, [root, *alive])
    for pid in tree - seen.keys():
        found = find_process(pid)
        if found is not None:
            seen[pid] = found
    return sum(processes[pid].resident_mb for pid in tree)


def _end_all(mark: str, seen: Mapping[int, Process]) -> None:
    """Nothing that was seen, or that carries the mark, runs any more."""
    for _ in range(_END_TRIES):
        marked = [found for pid in _find_marked(mark) if (found := find_process(pid)) is not None]
        running = {one for one in (*seen.values(), *marked) if one.is_running()}
        for one in running:
            one.send(signal.SIGKILL)
        for one in running:
            wait_for_end(one, timeout_s=5.0)
        if not running:
            return


def _find_marked(mark: str) -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if mark.encode() in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
