"""Processes by pid, and safely so: a pid is believed only with the time at which it began.

Linux gives pids again; the start time in /proc tells one process from a later one.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


def _started(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[_START_TIME_FIELD])
