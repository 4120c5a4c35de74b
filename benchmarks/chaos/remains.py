"""Remains: what a federation at rest still holds that it should not.

python -m benchmarks.chaos.remains QUESTION FOLDER answers where a hub or a service sees its own
host and disk.
"""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from fedmq.hub.credentials import read_credentials
from fedmq.hub.management import Management
from fedmq.hub.register import VHOST
from fedmq.transport.home import JOURNAL_NAME
from fedmq.transport.topology import orchestrator_events
from fedmq.types import ORCHESTRATOR


def count_fds(pid: int) -> int:
    """Return how many files, pipes and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def num_unsent(home: Path) -> int:
    """Return how many messages in a home have no receipt."""
    journal = sqlite3.connect(f"file:{home / JOURNAL_NAME}?mode=ro", uri=True)
    try:
        return int(journal.execute("SELECT count(*) FROM outbox").fetchone()[0])
    finally:
        journal.close()


def turned_away(home: Path) -> list[str]:
    """Return what a service turned away: from whom, from which queue and why."""
    journal = sqlite3.connect(f"file:{home / JOURNAL_NAME}?mode=ro", uri=True)
    try:
        rows = journal.execute("SELECT sender, queue, reason FROM rejected").fetchall()
    finally:
        journal.close()
    return [
        f"{home.parent.name}: {queue}, from {sender}: {reason}" for sender, queue, reason in rows
    ]


def waiting_messages(hub: Path) -> dict[str, int]:
    """Return the queues that hold messages, or that belong to an experiment and are still there.

    Streams keep what was read, and a sign of life may be on its way at any moment: both are left
    out.
    """
    login = read_credentials(hub / "credentials" / "monitor.toml")
    management = Management(url=login.admin_url, user=login.user, password=login.password)
    queues = cast("list[dict[str, object]]", management.get("queues", VHOST))
    return {
        str(queue["name"]): int(cast("int", queue.get("messages", 0)))
        for queue in queues
        if queue.get("type") != "stream"
        and queue["name"] != orchestrator_events(ORCHESTRATOR)
        and (queue.get("messages", 0) or str(queue["name"]).startswith("experiment."))
    }


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of processes that work in a folder, or speak of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended, or is not ours
        if place.is_relative_to(folder) or str(folder) in words:
            found.append(words.strip())
    return found


if __name__ == "__main__":
    questions: dict[str, Callable[[Path], object]] = {
        "num_unsent": num_unsent,
        "turned_away": turned_away,
        "waiting_messages": waiting_messages,
    }
    print(json.dumps(questions[sys.argv[1]](Path(sys.argv[2]))))
