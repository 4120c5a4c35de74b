"""`fedmq gc`, killed: what it had not freed it frees the next time, and nothing else is gone."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from fedmq.transport.home import JOURNAL_NAME
from tests.support.orchestrator_home import MODEL, open_journal, write_payloads

NUM_FILES, NUM_IDS, KILLS = 5_000, 100_000, 5


def make_home(folder: Path) -> Path:
    """Return the payloads of an orchestrator whose experiment runs, most of them of no use."""
    home = folder / "orchestrator"
    journal = open_journal(home)
    with journal.transaction():
        # Pages that a transaction leaves empty are what the compaction is for.
        journal.execute("CREATE TABLE filler (id TEXT)")
        for number in range(NUM_IDS):
            journal.execute("INSERT INTO filler VALUES (?)", (f"{number:064d}",))
    with journal.transaction():
        journal.execute("DROP TABLE filler")
    journal.close()
    useless = (f"{number:064x}" for number in range(NUM_FILES))
    return write_payloads(home, MODEL, *useless, size_bytes=8)


def test_gc_that_is_killed_at_any_time_frees_the_rest_the_next_time(tmp_path: Path) -> None:
    """Between two files, and right after the last one; model and experiment stay."""
    payloads = make_home(tmp_path)
    journal = tmp_path / "orchestrator" / JOURNAL_NAME
    left = []
    for kill in range(KILLS):
        program = gc(tmp_path)
        wanted = NUM_FILES * (KILLS - 1 - kill) // KILLS
        while count(payloads) > wanted + 1 and program.poll() is None:
            time.sleep(0.001)
        program.send_signal(signal.SIGKILL)
        # After the last file little is left to do: it may be done.
        assert program.wait() == -signal.SIGKILL or kill == KILLS - 1
        left.append(count(payloads))
        assert (payloads / MODEL).exists()
        require_whole(journal)
    assert NUM_FILES > left[0] > left[-1]
    assert gc(tmp_path).wait() == 0
    assert [path.name for path in payloads.iterdir()] == [MODEL]
    require_whole(journal)
    assert journal.stat().st_size < NUM_IDS


def gc(home: Path) -> subprocess.Popen[bytes]:
    """Start the command on a home."""
    return subprocess.Popen(
        [sys.executable, "-m", "fedmq", "gc"],
        env={**os.environ, "FEDMQ_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def count(folder: Path) -> int:
    """Return how many files lie in a folder."""
    return len(os.listdir(folder))  # noqa: PTH208 - a sixth of the time


def require_whole(path: Path) -> None:
    """Return if the journal is sound, and has its experiment."""
    journal = sqlite3.connect(path)
    try:
        assert journal.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert journal.execute("SELECT count(*) FROM experiments").fetchone() == (1,)
    finally:
        journal.close()
