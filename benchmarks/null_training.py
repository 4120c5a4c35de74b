"""One turn of fedmq: a federation from a cold start, some rounds of null training, and its end."""

import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks import federation, ways
from benchmarks.comparison import Load, Outcome, Turn
from benchmarks.memory import TreeWatch, peak_mb
from benchmarks.ways import Way
from fedmq.errors import FedmqError
from fedmq.messages.submissions import ExperimentReport
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.run import Run

PLAN: Final = Path(__file__).with_name("null_plan.py")
NAME: Final = "null"
_FIRST_POLL_S: Final = 0.05
_POLL_S: Final = 0.2
_MB: Final = 1_000_000


def null_experiment(num_nodes: int, mb: int, num_rounds: int) -> Experiment:
    """Return rounds of null training of all nodes, without evaluation."""
    return Experiment(
        name=NAME,
        plan=str(PLAN),
        dataset=federation.DATASET,
        rounds=num_rounds,
        quorum=num_nodes,
        config={"mb": mb},
        evaluate=False,
        validation_share=0.0,
    )


def measure(load: Load, way: Way) -> Outcome:
    """Return what fedmq does under a load.

    Raises:
        FedmqError: the federation does not start, or its experiment does not finish.
    """
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        folder = Path(name)
        with (
            ways.running(folder, way, load.num_nodes, PLAN, NAME) as running,
            TreeWatch(running.members) as watch,
            ways.make_client(folder, way) as client,
        ):
            run = client.submit(null_experiment(load.num_nodes, load.mb, load.num_rounds))
            first_round_s = _await_round(run) - running.started_at
            report = run.wait(poll_s=_POLL_S)
            peaks = {program: peak_mb(pid) for program, pid in running.pids.items()}
        return _read(report, load, first_round_s, peaks, watch.peaks_mb)


def _await_round(run: Run) -> float:
    """Return when round 1 had been closed, up to a poll late, by `time.perf_counter`."""
    while True:
        report = run.report()
        if report.records or report.state in {"failed", "stopped"}:
            return time.perf_counter()
        time.sleep(_FIRST_POLL_S)


def _read(
    report: ExperimentReport,
    load: Load,
    first_round_s: float,
    peaks: dict[str, float],
    trees: dict[str, float],
) -> Turn:
    if report.state != "finished":
        raise FedmqError(
            f"the experiment {report.state}",
            why=report.reason or "it gave no reason",
            fix="ask for fewer nodes or a smaller model",
        )
    first, *later = report.records
    last = report.records[-1]
    centre = federation.ORCHESTRATOR
    nodes = [one for one in peaks if one.startswith("node-")]
    ideal = (load.num_nodes + 1) * load.mb * _MB
    return Turn(
        round_s=tuple(record.duration_s for record in later or [first]),
        first_round_s=first_round_s,
        node_rss_mb=max(trees[name] for name in nodes),
        more=(
            ("round_1_s", round(first.duration_s, 4)),
            ("orchestrator_rss_mb", max(peaks[centre], trees[centre])),
            ("node_program_rss_mb", max(peaks[name] for name in nodes)),
            ("broker_rss_mb", peaks[federation.BROKER]),
            ("bytes_up", last.bytes_up),
            ("bytes_down", last.bytes_down),
            ("bytes_over_models", round((last.bytes_up + last.bytes_down) / ideal, 5)),
        ),
    )
