"""How fast cases come to a training step, beside MONAI, TorchIO, plain nibabel, and a limit.

All tools take the same cases in one run, turn by turn, each in a process of its own with as many
workers; who is first changes. Ratios are of the same turn. The files are read once before each
tool: none waits for the disk. The limit is inflating both files and resampling the CT, and nothing
else: no header, no scaling, no patch, nothing kept.
"""

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.comparison import Figures, spread
from benchmarks.memory import share_bytes
from benchmarks.progress import say
from benchmarks.whole_bodies import CT, PET, write_case
from fedmq.node.cores import usable_cores
from fedmq.node.footprint import members

PEERS: Final = ("monai_persistent", "monai_cache", "torchio", "plain")
_TOOLS: Final = ("limit", "fedmq", *PEERS, "memory")
_SAMPLED_S: Final = 0.1
_LIMIT_S: Final = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One tool in one turn."""

    first_s: float
    """Of the first epoch, per case."""
    patch_ms: float | None
    """Per patch of later epochs, the median."""
    peak_mb: float
    """The most memory, of all its processes; what they share is counted once."""


def measure(*, num_cases: int, num_turns: int, num_epochs: int, torchio: str) -> Figures:
    """Return ratios to limit and peers, and what each tool did."""
    workers = min(2, usable_cores())
    figures: Figures = {"cases": num_cases, "turns": num_turns, "workers": workers}
    pythons = dict.fromkeys(_TOOLS, sys.executable)
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        try:
            pythons["torchio"] = torchio or _torchio_python()
        except (OSError, subprocess.SubprocessError) as error:
            del pythons["torchio"]
            figures["torchio_not_measured"] = f"it could not be installed: {type(error).__name__}"
        say(f"writing {num_cases} cases of {PET} and {CT} voxels")
        folder = Path(name)
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(write_case, [folder] * num_cases, range(num_cases)))
        ran: dict[str, list[Ran]] = {tool: [] for tool in pythons}
        for turn in range(num_turns):
            order = [*pythons]
            for tool in order[turn % len(order) :] + order[: turn % len(order)]:
                ran[tool].append(_run(tool, pythons[tool], folder, workers, num_epochs))
                say(f"turn {turn + 1}: {tool} {ran[tool][-1]}")
    return {**figures, **_compare(ran), **_each(ran)}


def _compare(ran: Mapping[str, Sequence[Ran]]) -> Figures:
    """Return fedmq's figures over those of the limit, and of the best peer of each turn."""
    peers = [ran[peer] for peer in PEERS if peer in ran]
    ours, limits = ran["fedmq"], ran["limit"]
    best_first = [min(one.first_s for one in turn) for turn in zip(*peers, strict=True)]
    best_patch = [
        min(one.patch_ms for one in turn if one.patch_ms is not None)
        for turn in zip(*peers, strict=True)
    ]
    ratios = {
        "first_epoch_over_limit": [
            a.first_s / b.first_s for a, b in zip(ours, limits, strict=True)
        ],
        "first_epoch_over_best_peer": [
            a.first_s / b for a, b in zip(ours, best_first, strict=True)
        ],
        "patch_speedup_over_best_peer": [
            b / a.patch_ms for a, b in zip(ours, best_patch, strict=True) if a.patch_ms
        ],
    }
    figures: Figures = {"peak_rss_mb": round(max(one.peak_mb for one in ours))}
    for name, values in ratios.items():
        figures |= spread(values).figures(name)
    return figures


def _each(ran: Mapping[str, Sequence[Ran]]) -> Figures:
    figures: Figures = {}
    for tool, turns in ran.items():
        figures[f"{tool}_first_s"] = round(statistics.median(one.first_s for one in turns), 3)
        times = [one.patch_ms for one in turns if one.patch_ms is not None]
        if times:
            figures[f"{tool}_patch_ms"] = round(statistics.median(times), 2)
        figures[f"{tool}_peak_mb"] = round(max(one.peak_mb for one in turns))
    return figures


def _run(tool: str, python: str, folder: Path, workers: int, epochs: int) -> Ran:
    for path in folder.rglob("*.gz"):
        path.read_bytes()
    command = [python, "-m", "benchmarks.loader_tools", tool, str(folder), str(workers)]
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, str(epochs)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, **threads},
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks = [0]
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLED_S):
            peaks.append(sum(share_bytes(pid) for pid in members(process.pid)))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        said, _ = process.communicate(timeout=_LIMIT_S)
    finally:
        process.kill()
        ended.set()
        sampler.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    found = json.loads(said.splitlines()[-1])
    times = found["patch_ms"]
    return Ran(
        first_s=found["first_s"],
        patch_ms=statistics.median(times) if times else None,
        peak_mb=max(peaks) / 1e6,
    )


def _torchio_python() -> str:
    """Return a Python that has TorchIO, and all that this one has; made once, under TMPDIR.

    It is nothing that fedmq or its tests need, and brings much that nobody else here does.
    """
    place = Path(tempfile.gettempdir()) / "fedmq-torchio"
    python = place / "bin" / "python"
    if not python.exists():
        say(f"installing TorchIO into {place}")
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        own = next(place.glob("lib/python*/site-packages"))
        (own / "fedmq.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [str(python), "-m", "pip", "install", "--quiet", "torchio"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    return str(python)
