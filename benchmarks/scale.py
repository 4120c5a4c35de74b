"""A round as nodes grow: seconds, memory and bytes of null training, and their slope in nodes.

All nodes are in one process, so its seconds and its memory are those of everybody. Seconds that end
in `cpu_s` are the process's own; `round_s` is what the clock on the wall says, whatever else the
machine did meanwhile.
"""

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from benchmarks.crowd import Crowd
from fedmq.messages.mandates import ExperimentSpec
from fedmq.messages.submissions import RoundRecord
from fedmq.parameters import Array
from fedmq.simulation.members import DATASET, EXPERIMENT, PLAN, STUDY

_DEADLINE_S = 86_400.0


def measure(num_nodes: Sequence[int], mb: int, num_rounds: int) -> dict[str, object]:
    """Return the figures of one federation; of several sizes, their fit to the number of nodes.

    Each federation has a process of its own, whose peak of memory nothing else raises.
    """
    runs = []
    for number in num_nodes:
        say(f"{number} nodes, {mb} MB, {num_rounds} rounds")
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawning) as pool:
            runs.append(pool.submit(measure_one, number, mb, num_rounds).result())
        say(str(runs[-1]))
    if len(runs) == 1:
        return runs[0]
    return {"mb": mb, "rounds": num_rounds, **_fits(runs)}


def _fits(runs: Sequence[dict[str, object]]) -> dict[str, object]:
    """Return the figures of each size, and the line through them by least squares."""
    nodes = [float(str(run["nodes"])) for run in runs]
    figures: dict[str, object] = {}
    for name in ("round_s", "round_cpu_s", "orchestrator_cpu_s", "rss_mb"):
        values = [float(str(run[name])) for run in runs]
        for run, value in zip(runs, values, strict=True):
            figures[f"{name}_{run['nodes']}"] = value
        slope, intercept, residual = fit_line(nodes, values)
        figures[f"{name}_per_node"] = round(slope, 6)
        figures[f"{name}_intercept"] = round(intercept, 3)
        figures[f"{name}_residual"] = round(residual, 3)
    return figures


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """Return slope, intercept and the largest residual of the least-squares line."""
    slope, intercept = np.polyfit(xs, ys, 1)
    residual = max(abs(y - slope * x - intercept) for x, y in zip(xs, ys, strict=True))
    return float(slope), float(intercept), float(residual)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Close:
    """When a round closed, and what had been spent until then."""

    wall_s: float
    cpu_s: float
    spent: dict[str, float]


class _Ear:
    """Hears in what services log when rounds are folded and closed; prints nothing of it."""

    def __init__(self) -> None:
        self.crowd: Crowd | None = None
        self.fold_s: dict[int, float] = {}
        """By round: what folding took."""
        self.folded_at: dict[int, float] = {}
        self.closed: dict[int, _Close] = {}

    def __call__(self, _logger: object, _name: str, event: structlog.types.EventDict) -> str:
        """Note what is of a round; print nothing."""
        if event["event"] == "round_folded":
            self.fold_s[event["round"]] = event["seconds"]
            self.folded_at[event["round"]] = time.process_time()
        if event["event"] == "round_closed" and self.crowd is not None:
            self.closed[event["round"]] = _Close(
                wall_s=time.perf_counter(),
                cpu_s=time.process_time(),
                spent=dict(self.crowd.seconds),
            )
        raise structlog.DropEvent


def measure_one(num_nodes: int, mb: int, num_rounds: int) -> dict[str, object]:
    """Return the figures of one federation, in this process."""
    ear = _Ear()
    structlog.configure(processors=[ear])
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        began = time.perf_counter()
        crowd = ear.crowd = Crowd(Path(name), num_nodes)
        try:
            crowd.start()
            started, start_mb = time.perf_counter(), _peak_mb()
            crowd.submit(_spec(num_nodes, num_rounds), _initial(mb))
            state = crowd.run()
            ended = time.perf_counter()
            if state.stage != "finished":
                raise SystemExit(f"the experiment {state.stage}: {state.reason()[:500]}")
            records = _records(Path(name))
        finally:
            crowd.close()
    return {
        "nodes": num_nodes,
        "mb": mb,
        "rounds": num_rounds,
        **_round_figures(ear, crowd),
        "start_s": round(started - began, 1),
        "experiment_s": round(ended - started, 2),
        "start_rss_mb": start_mb,
        "rss_mb": _peak_mb(),
        "bytes_up": records[-1].bytes_up,
        "bytes_down": records[-1].bytes_down,
    }


def _round_figures(ear: _Ear, crowd: Crowd) -> dict[str, object]:
    """Return the medians of the rounds after the first, which begins while nodes prepare."""
    later = sorted(ear.closed)[1:]

    def median(part: Callable[[int], float]) -> float:
        return round(statistics.median(map(part, later)), 3)

    def wall_s(number: int) -> float:
        return ear.closed[number].wall_s - ear.closed[number - 1].wall_s

    def send_s(number: int) -> float:
        return crowd.trainer.began_at[number] - ear.closed[number - 1].cpu_s

    def collect_s(number: int) -> float:
        begun = crowd.trainer.began_at[number] + crowd.trainer.seconds[number]
        return ear.folded_at[number] - ear.fold_s[number] - begun

    def spent_s(who: str) -> Callable[[int], float]:
        closed = ear.closed
        return lambda number: closed[number].spent[who] - closed[number - 1].spent[who]

    return {
        "round_s": median(wall_s),
        "round_s_min": round(min(map(wall_s, later)), 3),
        "round_s_max": round(max(map(wall_s, later)), 3),
        "round_cpu_s": median(lambda one: ear.closed[one].cpu_s - ear.closed[one - 1].cpu_s),
        "send_cpu_s": median(send_s),
        "train_cpu_s": median(lambda one: crowd.trainer.seconds[one]),
        "collect_cpu_s": median(collect_s),
        "fold_cpu_s": median(lambda one: ear.fold_s[one]),
        "orchestrator_cpu_s": median(spent_s("orchestrator")),
        "nodes_cpu_s": median(spent_s("nodes")),
    }


def _spec(num_nodes: int, num_rounds: int) -> ExperimentSpec:
    """Return rounds of null training of all nodes, without evaluation."""
    return ExperimentSpec(
        name=EXPERIMENT,
        purpose="a measurement",
        plan=PLAN,
        dataset=DATASET,
        num_rounds=num_rounds,
        quorum=num_nodes,
        round_deadline_s=_DEADLINE_S,
        waiting_deadline_s=_DEADLINE_S,
        evaluate=False,
        validation_share=0.0,
        study=STUDY,
    )


def _initial(mb: int) -> dict[str, Array]:
    count = 1_000_000 // 4
    return {f"layer{number:03}": np.zeros(count, "<f4") for number in range(mb)}


def _records(folder: Path) -> list[RoundRecord]:
    path = folder / "orchestrator" / "experiments" / EXPERIMENT / "rounds.jsonl"
    return [RoundRecord.model_validate_json(line) for line in path.read_text().splitlines()]


def _peak_mb() -> float:
    """Return the most memory that this process ever had resident, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1000, 1)
    return 0.0


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)
