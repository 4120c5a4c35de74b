"""How fast cases come to a training step, beside MONAI, TorchIO, plain nibabel, and a limit.

All tools take the same cases in one run, turn by turn, each in a process of its own with as many
workers; who is first changes. Ratios are of the same turn. The files are read once before each
tool: none waits for the disk. The limit is inflating both files and resampling the CT, and nothing
else: no header, no scaling, no patch, nothing kept.
"""

import gzip
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

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.comparison import Figures, spread
from benchmarks.progress import say
from fedmq.node.cores import usable_cores
from fedmq.node.footprint import members

PEERS: Final = ("monai_persistent", "monai_cache", "torchio", "plain")
_TOOLS: Final = ("limit", "fedmq", *PEERS, "memory")
_PET: Final = (200, 200, 300)
_PET_MM: Final = (4.07, 4.07, 3.0)
_CT: Final = (512, 512, 300)
_CT_MM: Final = (1.52, 1.52, 3.27)
_SAMPLED_S: Final = 0.1
_LIMIT_S: Final = 1800.0
_GZIP_LEVEL: Final = 6
"""That of dcm2niix."""


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
        say(f"writing {num_cases} cases of {_PET} and {_CT} voxels")
        folder = Path(name)
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_write_case, [folder] * num_cases, range(num_cases)))
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
            peaks.append(sum(_memory_bytes(pid) for pid in members(process.pid)))

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


def _memory_bytes(pid: int) -> int:
    """Return a process's share of memory, pages of files too; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


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


def _write_case(folder: Path, number: int) -> None:
    """Write a PET of float32 and a CT of int16 that pack as scanners' do: noise, also in air."""
    rng = np.random.default_rng(number)
    place = folder / f"case-{number:02}"
    place.mkdir()
    body = _body(_PET)
    noise = ndimage.gaussian_filter(rng.standard_normal(_PET, dtype=np.float32), 1.0)
    suv = np.clip(np.where(body, 0.7 + 0.8 * noise, 0.02 * np.abs(noise)), 0.0, None)
    for _ in range(12):
        x, y, z = (int(rng.integers(50, side - 50)) for side in _PET)
        suv[x - 3 : x + 3, y - 3 : y + 3, z - 3 : z + 3] += rng.uniform(3.0, 15.0)
    # A scanner has whole numbers with a slope for each slice.
    slopes = np.float32(suv.max(axis=(0, 1)) / 32767.0)
    _write(place / "PET.nii.gz", (np.rint(suv / slopes) * slopes).astype(np.float32), _PET_MM)
    hu = np.clip(-1000.0 + 8.0 * rng.standard_normal(_CT, dtype=np.float32), -1024.0, None)
    inside = _body(_CT)
    hu[inside] = 40.0 + 15.0 * rng.standard_normal(int(inside.sum()), dtype=np.float32)
    _write(place / "CT.nii.gz", hu.astype(np.int16), _CT_MM)


def _body(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    x, y, z = np.ogrid[tuple(slice(-1.0, 1.0, side * 1j) for side in shape)]
    width = 1.0 + 0.15 * np.sin(9.0 * z)
    return np.asarray((x / (0.55 * width)) ** 2 + (y / (0.35 * width)) ** 2 < 1.0)


def _write(path: Path, array: NDArray[np.generic], spacing: tuple[float, float, float]) -> None:
    """Write it as most converters leave it: in the directions of DICOM."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -(np.array(array.shape) - 1) / 2 * np.diag(affine)[:3]
    content = nibabel.Nifti1Image(array, affine).to_bytes()
    path.write_bytes(gzip.compress(content, compresslevel=_GZIP_LEVEL))
