"""Processes by pid, and safely so: a pid is believed only with the time at which it began.

Linux gives pids again; the start time in /proc tells one process from a later one. A process that
this one started has to be collected when it ends, or it stays as a zombie.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STOP_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_CHILDREN: Final[list[subprocess.Popen[bytes]]] = []
_START_TIME_FIELD: Final = 19
"""Of /proc/PID/stat, counted after the name in brackets; field 22 in proc(5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, now and never another."""

    pid: int
    started: int
    """Clock ticks after boot."""

    def is_running(self) -> bool:
        """Return whether this very process is there and no zombie."""
        _collect()
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        if self.is_running():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return


def find_process(pid: int) -> Process | None:
    """Return the process that has `pid` now, None where there is none."""
    started = _started(pid)
    return None if started is None else Process(pid=pid, started=started)


def start_process(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
) -> Process | None:
    """Return a new process that outlives this one, None where it has ended already.

    Raises:
        OSError: the program cannot be started.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - the broker's own programs
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    _CHILDREN.append(child)
    return find_process(child.pid)


def end_process(process: Process) -> None:
    """The process is gone: asked first, and killed if it does not go."""
    process.send(signal.SIGTERM)
    if not wait_for_end(process):
        process.send(signal.SIGKILL)
        wait_for_end(process)


def wait_for_end(process: Process, timeout_s: float = STOP_TIMEOUT_S) -> bool:
    """Return True once the process has ended, False if it still runs after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while process.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _collect() -> None:
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]


def _started(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_START_TIME_FIELD])
