"""A shipped plan of many moods, cases for it, and jobs: what tests of the trainer begin with."""

import itertools
from pathlib import Path

import numpy as np

from fedmq.learning.catalogue import plan_digest
from fedmq.learning.trainer_protocol import Job, JobKind
from fedmq.parameters import save_parameters

SOURCE = '''
"""Adds the sum of column x to every number; or does what its mood says."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from fedmq.errors import DatasetError, PlanError
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, TrainingPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyConfig(PlanConfig):
    mood: str = "learn"


class TinyPlan(TrainingPlan):
    name = "tiny"
    config_class = TinyConfig
    modalities = ()

    def initial_parameters(self, seed):
        return {"w": np.zeros(3, np.float32)}

    def train(self, parameters, cases, task):
        task.report(0.5, self.config.mood)
        total = sum(float(case.clinical["x"]) for case in cases)
        learned = {name: array + total for name, array in parameters.items()}
        fit = Fit(
            parameters=learned,
            num_cases=len(cases),
            metrics={"total": Ratio(numerator=total, denominator=len(cases))},
        )
        return getattr(self, self.config.mood)(fit, task)

    def evaluate(self, parameters, cases, task):
        if self.config.mood == "nan":
            return Assessment(num_cases=1, metrics={"x": Ratio(numerator=np.nan, denominator=1)})
        total = float(parameters["w"].sum())
        return Assessment(
            num_cases=len(cases), metrics={"sum": Ratio(numerator=total, denominator=1.0)}
        )

    def learn(self, fit, task):
        return fit

    def nothing(self, fit, task):
        return None

    def lists(self, fit, task):
        return Fit(parameters={"w": [1.0]}, num_cases=1, metrics={})

    def fails(self, fit, task):
        raise ValueError("patient Doe is 99 years old")

    def leaves(self, fit, task):
        sys.exit(0)

    def dataset(self, fit, task):
        raise DatasetError("the case has no weight")

    def plan(self, fit, task):
        raise PlanError("not with this config")

    def memory(self, fit, task):
        raise MemoryError

    def memory_of_torch(self, fit, task):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    def disk(self, fit, task):
        raise OSError(28, "No space left on device")

    def nan(self, fit, task):
        fit.parameters["w"][1] = np.nan
        return fit

    def overflow(self, fit, task):
        return self.with_w(fit, np.full(3, 1e300))

    def double(self, fit, task):
        return self.with_w(fit, fit.parameters["w"].astype(np.float64))

    def shape(self, fit, task):
        return self.with_w(fit, np.zeros(4, np.float32))

    def names(self, fit, task):
        return Fit(parameters={"v": np.zeros(3)}, num_cases=1, metrics={})

    def complex_numbers(self, fit, task):
        return self.with_w(fit, np.zeros(3, np.complex64))

    def with_w(self, fit, w):
        return Fit(parameters={"w": w}, num_cases=fit.num_cases, metrics=fit.metrics)

    def counts(self, fit, task):
        return Fit(parameters=fit.parameters, num_cases=fit.num_cases + 1, metrics={})

    def counts_none(self, fit, task):
        return Fit(parameters=fit.parameters, num_cases=0, metrics={})

    def random(self, fit, task):
        import random

        return self.with_w(fit, np.array([random.random(), np.random.rand(), hash("a") % 1000]))

    def dies(self, fit, task):
        os._exit(3)

    def sleeps(self, fit, task):
        other = subprocess.Popen(["sleep", "1000"])
        task.report(0.6, f"{os.getpid()} {other.pid}")
        signal.pause()

    def escapes(self, fit, task):
        other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        task.report(0.6, str(other.pid))
        os._exit(3)

    def leaves_another(self, fit, task):
        other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        task.report(0.6, f"{os.getpid()} {other.pid}")
        return fit

    def prints(self, fit, task):
        print("{}" * 2**19)
        sys.stderr.write("x" * 2**19 + chr(10))
        os.write(1, b"raw\\n" * 1000)
        subprocess.run(["echo", "of a program"], check=True)
        assert sys.stdin.read() == ""
        print("the last words")
        return fit

    def surroundings(self, fit, task):
        found = Ratio(numerator=1, denominator=1)
        metrics = {"env_" + name.lower(): found for name in os.environ}
        metrics["num_threads"] = Ratio(
            numerator=float(os.environ["OMP_NUM_THREADS"]), denominator=1
        )
        print("cwd", os.getcwd())
        metrics["torch"] = Ratio(numerator="torch" in sys.modules, denominator=1)
        return Fit(parameters=fit.parameters, num_cases=fit.num_cases, metrics=metrics)
'''

_numbers = itertools.count(1)


def write_cases(folder: Path, num_cases: int) -> Path:
    """Return a new dataset: a folder for each case, and a table in which x counts from 1."""
    folder.mkdir()
    rows = ["case_id,x"]
    for number in range(1, num_cases + 1):
        (folder / f"case-{number}").mkdir()
        rows.append(f"case-{number},{number}")
    (folder / "clinical.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_job(folder: Path, mood: str = "learn", **changes: object) -> Job:
    """Return a job on five cases and parameters of three zeros, all written to `folder`."""
    number = next(_numbers)
    source = folder / "plan.py"
    if not source.exists():
        source.write_text(SOURCE)
        write_cases(folder / "cases", 5)
        save_parameters({"w": np.zeros(3, np.float32)}, folder / "zeros")
    values: dict[str, object] = {
        "job_id": f"job-{number}",
        "kind": JobKind.TRAIN,
        "plan_name": "tiny",
        "plan_digest": plan_digest(source.read_bytes()),
        "source_path": str(source),
        "config": {"mood": mood},
        "dataset_folder": str(folder / "cases"),
        "clinical": None,
        "spoiled": (),
        "withdrawn": (),
        "parameters_path": str(folder / "zeros"),
        "output_path": str(folder / f"output-{number}"),
        "seed": 11,
        "round": 1,
        "split_seed": 3,
        "validation_share": 0.2,
        "num_threads": 1,
    }
    return Job(**(values | changes))  # type: ignore[arg-type]
