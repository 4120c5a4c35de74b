"""Fed-BioMed, measured by a script that runs in an environment with torch and fedbiomed."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.comparison import Load, Missed, Outcome, Turn
from benchmarks.peers.environment import make_environment
from benchmarks.peers.harness import LIMIT_S, clean_environment, from_mib, read_failure
from benchmarks.peers.watch import Limits, Note, Watched, run_watched
from fedmq.hub.ports import choose_ports

_SCRIPT: Final = "fedbiomed/run_flat.py"
_RESULT: Final = "RESULT "
_NODES_BEGIN: Final = "nodes configured in"
"""The script says so right before it starts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FedBioMed:
    """The peer; its researcher is what others call a server."""

    name: str = "fedbiomed"
    has_tls: bool = True

    def measure(self, folder: Path, load: Load) -> Outcome:
        """Return what the peer does under a load."""
        try:
            python = make_environment()
        except (OSError, subprocess.CalledProcessError) as error:
            return Missed(why=f"its environment cannot be made: {error}", is_final=True)
        with tempfile.TemporaryDirectory(prefix="fedmq-peer-") as place:
            command = [
                str(python),
                str(folder / _SCRIPT),
                *("--nodes", str(load.num_nodes)),
                *("--port", str(choose_ports().amqp)),
                *("--jobs", f"{load.mb}:{load.num_rounds}"),
            ]
            watched = run_watched(command, clean_environment(place), Limits(seconds=LIMIT_S))
        return read_failure(watched) or read_result(watched)


def read_result(watched: Watched) -> Outcome:
    """Return what the script says of its one job.

    Memory of a node is that of its largest process; the script does not add them up.
    """
    lines = [one for one in watched.output.splitlines() if one.startswith(_RESULT)]
    if not lines:
        return Missed(why="failed: it printed no figures")
    found = json.loads(lines[-1].removeprefix(_RESULT))
    error = found.get("fatal") or found.get("error")
    times = [float(one) for one in found.get("times", ())]
    if error or len(times) < 2:
        return Missed(why=f"failed: {error or 'it has no second round'}")
    return Turn(
        round_s=tuple(times[1:]),
        first_round_s=read_start(watched.notes),
        server_rss_mb=from_mib(found["researcher_peak_mb"]),
        node_rss_mb=from_mib(found["node_peak_mb"]),
    )


def read_start(notes: tuple[Note, ...]) -> float | None:
    """Return the seconds from the start of the nodes to the end of round 1, by when it was said."""
    begins = [note.at_s for note in notes if _NODES_BEGIN in note.text]
    ends = [note.at_s for note in notes if " round 1: " in note.text]
    return round(ends[0] - begins[0], 2) if begins and ends else None
