"""A node's worker whose plan draws patches of its cases, with each set of means of containment."""

import queue
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.containment.cell import Limits, Means
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.learning.catalogue import plan_digest
from fedmq.learning.trainer_protocol import Broken, Done, Job
from fedmq.node.containment import Containment
from fedmq.node.kept_cases import KeptCases
from fedmq.node.warm_trainers import TrainerKey
from fedmq.node.worker import Worker, WorkerEvent
from fedmq.types import Digest, ExperimentId
from tests.support.tiny_plan import write_job

DEADLINE_S = 60.0
MB = 2**20
VARIANTS = {
    "full": frozenset(Means),
    "without_namespaces": frozenset({Means.LANDLOCK, Means.SECCOMP}),
    "without_landlock": frozenset({Means.NAMESPACES, Means.SECCOMP}),
}
EACH_VARIANT = [
    pytest.param(name, marks=[getattr(pytest.mark, f"contained_by_{one}") for one in means])
    for name, means in VARIANTS.items()
]
"""For a fixture: each set of means, where the machine has them."""
SOURCE = '''
"""Draws patches of its cases and adds them up; or does what its mood says."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedmq.imaging.patches import draw_patches
from fedmq.imaging.preprocessing import Frame
from fedmq.learning.case_arrays import MEMORY, CaseArrays
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepingConfig(PlanConfig):
    mood: str = "learn"
    others: str = ""


class KeepingPlan(TrainingPlan):
    name = "keeping"
    config_class = KeepingConfig
    modalities = ("PET", "CT", "MASK")

    def initial_parameters(self, seed):
        return {"w": np.zeros(3, np.float32)}

    def train(self, parameters, cases, task):
        arrays = CaseArrays(Frame(spacing_mm=5.0), with_masks=True)
        rng = np.random.default_rng(task.seed)
        total = np.zeros(3, np.float32)
        for case in cases:
            for patch in draw_patches(
                arrays.stored(case), (8, 8, 8), count=4, lesion_share=0.5, rng=rng
            ):
                total += [patch.images[0].sum(), patch.images[1].sum(), patch.mask.sum()]
        place = None if MEMORY._cache is None else MEMORY._cache._folder
        did = getattr(self, self.config.mood)(place)
        mapped = sum(arrays.stored(case).is_mapped for case in cases)
        return Fit(
            parameters={"w": parameters["w"] + total},
            num_cases=len(cases),
            metrics={
                "did": Ratio(numerator=float(did), denominator=1.0),
                "mapped": Ratio(numerator=float(mapped), denominator=float(len(cases))),
            },
        )

    def evaluate(self, parameters, cases, task):
        return Assessment(num_cases=len(cases), metrics={})

    def learn(self, place):
        return 0

    def reach(self, place):
        """Count what can be read, written or made of what another trainer keeps, or beside it."""
        others = Path(self.config.others)
        did = 0
        with contextlib.suppress(OSError):
            did += len(list(others.iterdir()))
        outside = (place.parent / "new", place.parents[1] / "new")
        for path in (others / "stays", others / "new", *outside):
            for attempt in (path.read_bytes, lambda path=path: path.write_bytes(b"poison")):
                with contextlib.suppress(OSError):
                    attempt()
                    did += 1
        return did

    def fill(self, place):
        """Keep more than it may, and go on."""
        with (place / "more").open("wb") as file:
            for _ in range(100):
                file.write(bytes(2**20))
        time.sleep(60)
'''


class Site:
    """A node's folder, a dataset, and the worker of the node, which can be started again."""

    def __init__(self, folder: Path, means: frozenset[Means]) -> None:
        self.folder, self.means = folder, means
        self.cases = folder / "dataset"
        write_cohort(SITES["chu-lyon"], self.cases, num_cases=4)
        self.plan = folder / "keeping.py"
        self.plan.write_text(SOURCE)
        self.worker: Worker | None = None
        self._events: queue.Queue[WorkerEvent] = queue.Queue()

    def start(self, *, limit_bytes: int = 64 * MB) -> None:
        """Start the node's worker anew: its trainers are cold."""
        self.close()
        self.worker = Worker(
            self.folder / "home" / "scratch",
            self._events.put,
            containment=Containment(means=self.means),
            limits=Limits(scratch_bytes=16 * MB, file_bytes=256 * MB, num_processes=64),
            kept_cases=KeptCases(self.kept, limit_bytes=limit_bytes),
        )

    def close(self) -> None:
        """End its trainers."""
        if self.worker is not None:
            self.worker.close()

    @property
    def kept(self) -> Path:
        """Where its trainers keep prepared cases."""
        return self.folder / "home" / "cases"

    def files(self) -> list[Path]:
        """Return the cases that are kept."""
        return sorted(self.kept.rglob("*.case"))

    def run(self, mood: str = "learn", *, experiment: str = "e", others: str = "") -> Done | Broken:
        """Return how a job ends; the bytes that it trained are in `trained`."""
        (self.folder / "jobs").mkdir(exist_ok=True)
        job: Job = write_job(
            self.folder / "jobs",
            plan_name="keeping",
            plan_digest=plan_digest(SOURCE.encode()),
            source_path=str(self.plan),
            dataset_folder=str(self.cases),
            validation_share=0.0,
            config={"mood": mood, "others": others},
        )
        key = TrainerKey(
            experiment=ExperimentId(experiment),
            plan_digest=Digest(job.plan_digest),
            dataset="dataset",
        )
        assert self.worker is not None
        self.worker.begin(key, replace(job))
        deadline = time.monotonic() + DEADLINE_S
        while True:
            event = self._events.get(timeout=max(0.1, deadline - time.monotonic()))
            if isinstance(event, Done | Broken) and event.job_id == job.job_id:
                output = Path(job.output_path or "")
                self.trained = output.read_bytes() if output.exists() else b""
                return event


def done(answer: Done | Broken) -> dict[str, float]:
    """Return the metrics of a job that was done."""
    assert isinstance(answer, Done), answer
    return {name: numerator for name, (numerator, _) in answer.metrics.items()}
