"""Patients of a whole hospital, each a whole body of real size, in one contained trainer.

Four things are looked at: that what the trainer itself holds does not grow with patients, how large
what is kept gets, what a patient takes when it is prepared and when it is kept, and that a trainer
which begins anew on what is kept gives the same bits.
"""

import os
import queue
import signal
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.comparison import Figures
from benchmarks.memory import share_bytes
from benchmarks.progress import say
from benchmarks.whole_bodies import CT, PET, write_case_quickly
from fedmq.imaging.cache import SUFFIX
from fedmq.learning.catalogue import load_plan, plan_digest, plan_source
from fedmq.learning.configs import make_config
from fedmq.learning.trainer_protocol import Broken, Job, JobKind, Progress
from fedmq.node.cores import usable_cores
from fedmq.node.footprint import disk_bytes, members
from fedmq.node.kept_cases import KeptCases
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.worker import LOG_NAME, Flooded, Worker, WorkerEvent
from fedmq.parameters import save_parameters
from fedmq.types import Digest, ExperimentId

_PLAN: Final = "petct-segmentation"
_EXPERIMENT: Final = "cohort"
_SAMPLED_S: Final = 0.2
_QUARTERS: Final = 4
_LIMIT_S: Final = 4 * 3600.0


@dataclass(slots=True)
class Epoch:
    """One job of one epoch: how long it took, and what its trainer held."""

    took_s: float = 0.0
    own_mb: list[float] = field(default_factory=lambda: [0.0] * _QUARTERS)
    """The most that it had made itself, while each quarter of the patients was being kept."""
    peak_mb: float = 0.0
    """The most memory, with its share of pages of files."""
    output: bytes = b""


def measure(*, num_cases: int) -> Figures:
    """Return seconds for a patient, megabytes, and whether the bits are the same."""
    with tempfile.TemporaryDirectory(prefix="fedmq-bench-") as name:
        folder = Path(name)
        (folder / "cases").mkdir()
        say(f"writing {num_cases} cases of {PET} and {CT} voxels")
        with ProcessPoolExecutor(min(2, usable_cores())) as pool:
            written = pool.map(partial(write_case_quickly, folder / "cases"), range(num_cases))
            for number, _ in enumerate(written, 1):
                if number % 20 == 0:
                    say(f"{number} are written")
        try:
            epochs = [_run(folder, number, num_cases) for number in range(2)]
        except RuntimeError as error:
            return {"cases": num_cases, "why": str(error)}
        first, again = epochs
        figures: Figures = {
            "cases": num_cases,
            "files_gb": round(disk_bytes(folder / "cases") / 1e9, 2),
            "kept_gb": round(disk_bytes(folder / "home" / "kept") / 1e9, 2),
            "first_s_per_case": round(first.took_s / num_cases, 3),
            "again_s_per_case": round(again.took_s / num_cases, 3),
            "peak_rss_mb": round(max(first.peak_mb, again.peak_mb)),
            "has_same_bits": first.output == again.output,
        }
        for quarter, own_mb in enumerate(first.own_mb, 1):
            figures[f"own_mb_quarter_{quarter}"] = round(own_mb)
        return figures


def _run(folder: Path, number: int, num_cases: int) -> Epoch:
    """Return how a trainer that begins anew does one epoch; it is killed in the end.

    Raises:
        RuntimeError: it did not.
    """
    events: queue.Queue[WorkerEvent] = queue.Queue()
    home = folder / "home"
    worker = Worker(
        home / "scratch", events.put, kept_cases=KeptCases(home / "kept", limit_bytes=2**40)
    )
    job = _job(folder, number)
    key = TrainerKey(
        experiment=ExperimentId(_EXPERIMENT), plan_digest=Digest(job.plan_digest), dataset="cases"
    )
    epoch, ended = Epoch(), threading.Event()

    def sample() -> None:
        while not ended.wait(_SAMPLED_S):
            pids = [pid for trainer in worker.pids for pid in members(trainer)]
            own = sum(share_bytes(pid, "Pss_Anon") for pid in pids) / 1e6
            num_kept = sum(1 for _ in (home / "kept").rglob(f"*{SUFFIX}"))
            quarter = min(_QUARTERS - 1, num_kept * _QUARTERS // num_cases)
            epoch.own_mb[quarter] = max(epoch.own_mb[quarter], own)
            epoch.peak_mb = max(epoch.peak_mb, sum(map(share_bytes, pids)) / 1e6)

    sampler = threading.Thread(target=sample)
    began = time.perf_counter()
    worker.begin(key, job)
    sampler.start()
    try:
        event = events.get(timeout=_LIMIT_S)
        while isinstance(event, Progress | Flooded):
            event = events.get(timeout=_LIMIT_S)
        epoch.took_s = time.perf_counter() - began
    finally:
        ended.set()
        sampler.join()
        for pid in worker.pids:
            os.killpg(pid, signal.SIGKILL)
        worker.close()
    if isinstance(event, Broken):
        log = (home / "scratch" / LOG_NAME).read_text(errors="replace")
        raise RuntimeError(f"{event.code}: {event.what}\n{log[-2000:]}")  # noqa: TRY004 - it is no type
    say(f"trainer {number + 1}: {epoch.took_s:.0f} s")
    epoch.output = Path(job.output_path or "").read_bytes()
    return epoch


def _job(folder: Path, number: int) -> Job:
    config = {"epochs": 1, "batch_size": 2, "patches_per_case": 2}
    plan_class = load_plan(_PLAN)
    parameters = folder / "parameters"
    save_parameters(plan_class(make_config(plan_class, config)).initial_parameters(1), parameters)
    return Job(
        job_id=f"epoch-{number}",
        kind=JobKind.TRAIN,
        plan_name=_PLAN,
        plan_digest=plan_digest(plan_source(_PLAN)),
        source_path=None,
        config=config,
        dataset_folder=str(folder / "cases"),
        clinical=None,
        spoiled=(),
        withdrawn=(),
        parameters_path=str(parameters),
        output_path=str(folder / f"output-{number}"),
        seed=1,
        round=1,
        split_seed=1,
        validation_share=0.0,
        num_threads=min(2, usable_cores()),
    )
