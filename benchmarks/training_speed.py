"""How fast plans train here: threads, layouts, reading ahead, and nodes side by side.

All ways of one thing take turns, step by step or epoch by epoch, so that whatever else the machine
does, it does to all of them; ratios are of neighbours in time. Above 1 is faster than the way that
stands first. There is no graphics processor in it: plans reach none.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.comparison import Figures, spread
from benchmarks.progress import say
from fedmq.imaging.cases import Case
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.volumes import Volume, save_volume
from fedmq.learning.outcomes import Outcomes, read_outcomes
from fedmq.node.cores import usable_cores
from fedmq.node.trainer_process import trainer_environment

if TYPE_CHECKING:
    from fedmq.learning.torch_training import Descent

PLANS: Final = ("survival", "segmentation")
_WAITING: Final = "OMP_WAIT_POLICY"
_SIDE_BY_SIDE: Final = 2
"""Nodes that train at once, each with a thread for every processor."""
_PET: Final = (96, 96, 128)
_PET_MM: Final = 4.0
_CT: Final = (192, 192, 128)
_CT_MM: Final = (2.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """One way to train."""

    threads: int = 1
    ahead: int = 1
    settings: tuple[tuple[str, str], ...] = ()
    """Of the plan's config."""


def measure(*, num_cases: int, num_turns: int) -> Figures:
    """Return ratios of speed, and the share of a step's time that it waits for data."""
    # As in a trainer; OpenMP reads it once, when torch is loaded.
    cores = usable_cores()
    os.environ.update(_omp(trainer_environment(Path(), cores)))
    figures: dict[str, object] = {"cores": cores, "cases": num_cases, "turns": num_turns}
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        cases = write_cases(Path(name), num_cases)
        for plan in PLANS:
            figures |= _steps(plan, cases, cores, num_turns)
            figures |= _reading(plan, cases, cores, num_turns)
        figures |= _crowd(Path(name), cores, num_turns)
    return {**figures, "gpu": "not measured"}


def write_cases(folder: Path, num_cases: int) -> tuple[Case, ...]:
    """Return invented whole bodies with a lesion each and an outcome, written to `folder`."""
    say(f"writing {num_cases} cases of {_PET} and {_CT} voxels")
    rows = ["case_id,pfs_months,progressed"]
    for number in range(num_cases):
        rng = np.random.default_rng(number)
        place = folder / f"case-{number:02}"
        place.mkdir(parents=True)
        x, y, z = np.ogrid[tuple(slice(-1.0, 1.0, side * 1j) for side in _PET)]
        body = (x / 0.6) ** 2 + (y / 0.4) ** 2 + (z / 0.95) ** 2 < 1.0
        lesion = (x - 0.1) ** 2 + y**2 + (z - rng.uniform(-0.5, 0.5)) ** 2 < 0.01
        pet = body * rng.gamma(4.0, 0.25, _PET) + 8.0 * lesion
        ct = np.rint(rng.normal(40.0, 20.0, _CT))
        affine = np.diag([_PET_MM, _PET_MM, _PET_MM, 1.0])
        save_volume(Volume(array=pet.astype(np.float32), affine=affine), place / "PET.nii.gz")
        mask = Volume(array=lesion.astype(np.float32), affine=affine)
        save_volume(mask, place / "MASK.nii.gz")
        of_ct = Volume(array=ct.astype(np.float32), affine=np.diag([*_CT_MM, 1.0]))
        save_volume(of_ct, place / "CT.nii.gz")
        rows.append(f"case-{number:02},{2 + 3 * number % 20},{number % 2}")
    (folder / "clinical.csv").write_text("\n".join(rows) + "\n")
    return find_cases(folder)


def train(plan: str, cases: Sequence[Case], how: How, *, keeps: bool) -> "Descent":
    """Return how an epoch of a plan went; `keeps`: cases that were prepared stay in memory."""
    from fedmq.learning.configs import make_config
    from fedmq.learning.plan import Task
    from fedmq.learning.plans.petct_segmentation import PetctSegmentation
    from fedmq.learning.plans.petct_survival import PetctSurvival

    task = Task(seed=1, round=1, report=lambda _share, _text: None, num_threads=how.threads)
    plan_class = PetctSurvival if plan == "survival" else PetctSegmentation
    config = make_config(plan_class, {**dict(how.settings), "epochs": 1, "batch_size": 2})
    made = type("Measured", (plan_class,), {"ahead": how.ahead})(config)
    if not keeps:  # a case whose files have changed is read again
        for path in {path for case in cases for path in case.volumes.values()}:
            path.touch()
    given: Sequence[Case] | Outcomes = cases
    if plan == "survival":
        given = read_outcomes(cases, time_column="pfs_months", event_column="progressed")
    _, descent = made.descend(made.initial_parameters(1), given, task)
    found: Descent = descent
    return found


def _steps(plan: str, cases: Sequence[Case], cores: int, num_turns: int) -> Figures:
    """Return what threads and layouts do to steps whose data are in memory."""
    first = How()
    ways = {
        "one_thread": first,
        "threads": replace(first, threads=cores),
        "channels_last": replace(first, settings=(("memory_format", "channels_last"),)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for descents in _turns(plan, cases, ways, num_turns, keeps=True):
        for name, descent in descents.items():
            busy = descent.took_s - descent.waited_s
            seconds[name].append(busy / descent.num_steps)
    figures: dict[str, object] = {
        f"{plan}_step_s": round(statistics.median(seconds["one_thread"]), 4)
    }
    for name in ways.keys() - {"one_thread"}:
        figures |= _ratios(f"{plan}_{name}", seconds["one_thread"], seconds[name])
    return figures


def _reading(plan: str, cases: Sequence[Case], cores: int, num_turns: int) -> Figures:
    """Return what threads that read, and ahead, do where each case is read from its files."""
    ways = {
        "plain": How(threads=1, ahead=0),
        "by_threads": How(threads=cores, ahead=0),
        "ahead": How(threads=cores, ahead=1),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    waited: dict[str, list[float]] = {name: [] for name in ways}
    for descents in _turns(plan, cases, ways, num_turns, keeps=False):
        for name, descent in descents.items():
            took[name].append(descent.took_s)
            waited[name].append(descent.waited_s / descent.took_s)
    kept = train(plan, cases, ways["ahead"], keeps=True)
    return {
        f"{plan}_epoch_s": round(statistics.median(took["plain"]), 3),
        **_ratios(f"{plan}_read_by_threads", took["plain"], took["by_threads"]),
        **_ratios(f"{plan}_read_ahead_too", took["plain"], took["ahead"]),
        **{
            f"{plan}_wait_share_{name}": round(statistics.median(shares), 3)
            for name, shares in waited.items()
        },
        f"{plan}_wait_share_in_memory": round(kept.waited_s / kept.took_s, 3),
    }


def _crowd(folder: Path, cores: int, num_turns: int) -> Figures:
    """Return what it is worth that threads of nodes on one machine sleep while they wait."""
    took: dict[str, list[float]] = {"ACTIVE": [], "PASSIVE": [], "DIVIDED": []}
    for turn in range(num_turns):
        for name, times in took.items():
            threads = max(1, cores // _SIDE_BY_SIDE) if name == "DIVIDED" else cores
            policy = "ACTIVE" if name == "ACTIVE" else "PASSIVE"
            times.append(_side_by_side(folder, threads, policy))
        say(f"{_SIDE_BY_SIDE} side by side, turn {turn + 1}: {_last(took)}")
    return {
        "side_by_side": _SIDE_BY_SIDE,
        **_ratios("asleep", took["ACTIVE"], took["PASSIVE"]),
        **_ratios("divided", took["PASSIVE"], took["DIVIDED"]),
    }


def _side_by_side(folder: Path, threads: int, policy: str) -> float:
    """Return the seconds of steps that several nodes made at the same time, of the slowest."""
    command = [sys.executable, "-m", "benchmarks.training_speed", str(folder), str(threads)]
    environment = {**os.environ, **_omp(trainer_environment(Path(), threads)), _WAITING: policy}
    nodes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(_SIDE_BY_SIDE)
    ]
    for node in nodes:
        if node.stdout:  # it says so when it has its cases in memory
            node.stdout.readline()
    for node in nodes:
        if node.stdin:
            node.stdin.write(b"go\n")
            node.stdin.flush()
    ends = [node.communicate()[0] for node in nodes]
    return max(float(json.loads(end)) for end in ends)


def _be_a_node(folder: Path, threads: int) -> None:
    """Prepare the cases, wait for the word, and say how long steps of survival took."""
    cases, how = find_cases(folder), How(threads=threads)
    train("survival", cases, how, keeps=True)
    print("ready", flush=True)
    sys.stdin.readline()
    descents = [train("survival", cases, how, keeps=True) for _ in range(3)]
    print(json.dumps(sum(one.took_s for one in descents)))


def _turns(
    plan: str, cases: Sequence[Case], ways: Mapping[str, How], num_turns: int, *, keeps: bool
) -> list[dict[str, "Descent"]]:
    """Return a descent of each way for each turn; one more before them warms up."""
    turns = []
    for turn in range(num_turns + 1):
        names = list(ways)
        shift = turn % len(names)  # none is always the first
        descents = {
            name: train(plan, cases, ways[name], keeps=keeps)
            for name in names[shift:] + names[:shift]
        }
        if turn:
            turns.append(descents)
            say(f"{plan}, turn {turn}: { ({n: round(d.took_s, 2) for n, d in descents.items()}) }")
    return turns


def _ratios(name: str, first: Sequence[float], other: Sequence[float]) -> Figures:
    return spread([one / two for one, two in zip(first, other, strict=True)]).figures(name)


def _last(took: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(times[-1], 2) for name, times in took.items()}


def _omp(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("OMP_", "MKL_"))}


if __name__ == "__main__":
    _be_a_node(Path(sys.argv[1]), int(sys.argv[2]))
