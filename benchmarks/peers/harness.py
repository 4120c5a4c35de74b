"""Peers measured by a script that takes NODES, MB, ROUNDS and prints a line of JSON.

The scripts are in the folder that FEDMQ_PEERS names, and make their own virtual environments under
TMPDIR when they first run. Their memory is in MiB there, and in MB of 10^6 bytes here.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.comparison import Load, Missed, Outcome, Turn
from benchmarks.peers.watch import Ending, Limits, Watched, run_watched

LIMIT_S: Final = 540.0
_GIVES_UP_S: Final = 480
"""A script that has not all rounds by then ends by itself, and tells of those that it has."""
_MB_PER_MIB: Final = 2**20 / 1_000_000
_LAST_WORDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """One peer."""

    name: str
    script: str
    """Its path in the folder of the peers."""
    environment: str
    """The name of its virtual environment under TMPDIR."""
    has_tls: bool

    def measure(self, folder: Path, load: Load) -> Outcome:
        """Return what the peer does under a load."""
        with tempfile.TemporaryDirectory(prefix="fedmq-peer-") as place:
            settings = {
                **clean_environment(place),
                "NODES": str(load.num_nodes),
                "MB": str(load.mb),
                "ROUNDS": str(load.num_rounds),
                "LIMIT_S": str(_GIVES_UP_S),
                "BENCH_LOCK": "none",
                "VENV": str(Path(tempfile.gettempdir()) / self.environment),
            }
            try:
                watched = run_watched(
                    [str(folder / self.script)], settings, Limits(seconds=LIMIT_S)
                )
            except OSError as error:
                return Missed(why=f"its script does not start: {error.strerror}", is_final=True)
        return read_failure(watched) or read_line(watched.output)


def clean_environment(place: str) -> dict[str, str]:
    """Return the environment of a peer that keeps its files in a place of its own."""
    own = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"}
    return {**{key: one for key, one in os.environ.items() if key not in own}, "TMPDIR": place}


def read_failure(watched: Watched) -> Missed | None:
    """Return why a peer has no figures; None where it ended by itself."""
    last = " | ".join(note.text for note in watched.notes[-3:])[-_LAST_WORDS:]
    match watched.ending:
        case Ending.FINISHED:
            return None
        case Ending.TOO_LARGE:
            return Missed(why=f"did not fit, peak {watched.peak_mb:.0f} MB", is_final=True)
        case Ending.LATE:
            why = f"not done within {watched.seconds:.0f} s, peak {watched.peak_mb:.0f} MB"
            return Missed(why=why, is_final=True)
        case Ending.FAILED:
            return Missed(why=f"failed: {last or 'without a word'}")


def read_line(output: str) -> Outcome:
    """Return what the last line of a script says."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        return Missed(why="failed: it printed no figures")
    found = json.loads(lines[-1])
    note = str(found.get("note", "ok"))
    if not found.get("round_s"):
        return Missed(why=f"has no second round: {note}")
    first = found.get("first_round_s")
    return Turn(
        round_s=tuple(float(one) for one in found["round_s"]),
        first_round_s=None if first is None else float(first),
        server_rss_mb=from_mib(found["server_peak_rss_mb"]),
        node_rss_mb=from_mib(found["node_peak_rss_mb"]),
        note="" if note == "ok" else note,
    )


def from_mib(mib: float) -> float:
    """Return MB of 10^6 bytes."""
    return round(mib * _MB_PER_MIB, 1)
