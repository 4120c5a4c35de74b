"""Processes of a trainer as this machine numbers them: within, a plan sees other numbers."""

import contextlib
from pathlib import Path

from fedmq.hub.processes import Process, find_process


def children(pid: int) -> list[int]:
    """Return the children of a process, none where it is gone."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [int(word) for text in lists for word in text.split()]


def descendants(pid: int) -> list[int]:
    """Return a process and all that it and they have started, and that has a parent left."""
    return [pid, *(one for child in children(pid) for one in descendants(child))]


def find_insider(trainer: int, number: int) -> Process | None:
    """Return what a plan in `trainer` knows as `number`; as 1 it knows the trainer itself."""
    if number == 1:
        return find_process(trainer)
    for pid in descendants(trainer):
        status = Path(f"/proc/{pid}/status").read_text()
        [numbers] = [line.split()[1:] for line in status.splitlines() if line.startswith("NSpid")]
        if int(numbers[-1]) == number:
            return find_process(pid)
    return None


def processes_about(folder: Path) -> list[int]:
    """Return the processes whose surroundings name a folder: a trainer, and what it started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def described(pids: list[int]) -> str:
    """Return what these processes are and wait for, for the words of a test that fails."""
    told = []
    for pid in pids:
        lines = [f"-- {pid}"]
        for name in ("cmdline", "status", "wchan", "stack"):
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/{name}").read_text(errors="replace").replace("\0", " ")
                lines.append(f"{name}: {text}")
        told.append("\n".join(lines))
    return "\n".join(told)
