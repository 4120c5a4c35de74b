"""One turn of fedmq: a federation from a cold start, some rounds of training, and its end."""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import federation, ways
from benchmarks.comparison import Load, Outcome, Turn
from benchmarks.federation import Work
from benchmarks.memory import TreeWatch, peak_mb
from benchmarks.ways import Way
from fedmq.encodings.kinds import MODEL_KINDS
from fedmq.errors import FedmqError
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.researcher.experiment import Experiment
from fedmq.researcher.run import OVER, Run

_FIRST_POLL_S: Final = 0.05
_POLL_S: Final = 0.2
_MB: Final = 1_000_000
_IMAGES: Final = 8
_SITE: Final = next(iter(SITES.values()))


def null_experiment(num_nodes: int, mb: int, num_rounds: int) -> Experiment:
    """Return rounds of null training of all nodes, without evaluation."""
    return Experiment(
        name="null",
        plan=str(NULL.source),
        dataset=federation.DATASET,
        rounds=num_rounds,
        quorum=num_nodes,
        config={"mb": mb},
        evaluate=False,
        validation_share=0.0,
    )


def torch_experiment(num_nodes: int, _mb: int, num_rounds: int) -> Experiment:
    """Return rounds in which a small network learns from invented PET and CT, and is evaluated."""
    return Experiment(
        name="torch",
        plan=TORCH.plan,
        dataset=federation.DATASET,
        rounds=num_rounds,
        quorum=num_nodes,
        config={"epochs": 2, "spacing_mm": 5.0, "shape": [24, 24, 24]},
        validation_share=0.3,
    )


def write_images(name: str, folder: Path) -> None:
    """Write invented patients with PET, CT and an outcome, other ones for each name."""
    write_cohort(replace(_SITE, name=name), folder, num_cases=_IMAGES)


NULL: Final = Work(
    plan="null",
    source=Path(__file__).with_name("null_plan.py"),
    write_cases=federation.write_table,
)
TORCH: Final = Work(plan="petct-survival", source=None, write_cases=write_images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What is done in the rounds."""

    work: Work
    make_experiment: Callable[[int, int, int], Experiment]
    """Of the number of nodes, the megabytes of the model and the number of rounds."""
    has_size: bool
    """Whether the model has the size that was asked for."""


TRAININGS: Final = {
    "null": Training(work=NULL, make_experiment=null_experiment, has_size=True),
    "torch": Training(work=TORCH, make_experiment=torch_experiment, has_size=False),
}


def measure(load: Load, way: Way, training: Training, encoding: str = "exact") -> Outcome:
    """Return what fedmq does under a load; what can travels in `encoding`.

    Raises:
        FedmqError: the federation does not start, or its experiment does not finish.
    """
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        folder = Path(name)
        with (
            ways.running(folder, way, load.num_nodes, training.work) as running,
            TreeWatch(running.members) as watch,
            ways.make_client(folder, way) as client,
        ):
            experiment = training.make_experiment(load.num_nodes, load.mb, load.num_rounds)
            down = encoding if encoding in MODEL_KINDS else "exact"
            run = client.submit(replace(experiment, update_encoding=encoding, model_encoding=down))
            first_round_s = _await_round(run) - running.started_at
            report = run.wait(poll_s=_POLL_S)
            peaks = {program: peak_mb(pid) for program, pid in running.pids.items()}
        _require_finished(report)
        turn = _read(report.records, first_round_s, peaks, watch.peaks_mb)
    return _with_ideal(turn, load) if training.has_size else turn


def _await_round(run: Run) -> float:
    """Return when round 1 had been closed, up to a poll late, by `time.perf_counter`."""
    while True:
        report = run.report()
        if report.records or report.state in OVER:
            return time.perf_counter()
        time.sleep(_FIRST_POLL_S)


def _require_finished(report: ExperimentReport) -> None:
    if report.state != "finished":
        raise FedmqError(
            f"the experiment {report.state}",
            why=report.reason or "it gave no reason",
            fix="ask for fewer nodes or a smaller model",
        )


def _read(
    records: list[RoundRecord],
    first_round_s: float,
    peaks: dict[str, float],
    trees: dict[str, float],
) -> Turn:
    first, *counted = records
    centre = federation.ORCHESTRATOR
    nodes = [one for one in peaks if one.startswith("node-")]
    training = [max(one.duration_s for one in record.outcomes) for record in counted]
    return Turn(
        round_s=tuple(record.duration_s for record in counted),
        first_round_s=first_round_s,
        node_rss_mb=max(trees[name] for name in nodes),
        more=(
            ("round_1_s", round(first.duration_s, 4)),
            ("slowest_training_s", round(statistics.median(training), 4)),
            ("orchestrator_rss_mb", max(peaks[centre], trees[centre])),
            ("node_program_rss_mb", max(peaks[name] for name in nodes)),
            ("broker_rss_mb", peaks[federation.BROKER]),
            ("bytes_up", records[-1].bytes_up),
            ("bytes_down", records[-1].bytes_down),
        ),
    )


def _with_ideal(turn: Turn, load: Load) -> Turn:
    """Return the turn with its bytes over those of the model sent once and an update of each."""
    figures = dict(turn.more)
    ideal = (load.num_nodes + 1) * load.mb * _MB
    ratio = (figures["bytes_up"] + figures["bytes_down"]) / ideal
    return replace(turn, more=(*turn.more, ("bytes_over_models", round(ratio, 5))))
