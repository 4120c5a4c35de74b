"""A training plan in numpy that a researcher ships as source, and that waits where a test holds it.

Additions and products only: the same bits wherever and however often it runs.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fedmq.imaging.cases import Case
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, Task, TrainingPlan
from fedmq.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldConfig(PlanConfig):
    """The model's size, and where tests hold the training."""

    size: int = 1_000
    holds: str = ""
    """A folder: while it has the pipe hold.SITE.ROUND, that training waits, and has it open."""
    train_s: float = 0.0
    """So long each training takes at least."""
    nan_round: int = 0
    """The round whose training gives NaN."""
    spoils: tuple[str, ...] = ()
    """What the training of each round gives at `spoiled_site`; see `_spoil`."""
    spoiled_site: str = ""


class HeldPlan(TrainingPlan):
    """Moves the weights towards random directions, each as far as a case says."""

    name: ClassVar[str] = "held-numpy"
    config_class: ClassVar[type[PlanConfig]] = HeldConfig
    config: HeldConfig

    def initial_parameters(self, seed: int) -> Parameters:
        """Return one array of each kind of number."""
        rng = np.random.default_rng(seed)
        return {
            "weight": rng.standard_normal(self.config.size).astype(np.float32),
            "bias": rng.standard_normal(3),
            "steps": np.zeros(1, np.int64),
        }

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return the parameters after one step for each case."""
        self._wait(cases, task)
        time.sleep(self.config.train_s)
        rng = np.random.default_rng([task.seed, task.round])
        weight = parameters["weight"].astype(np.float64)
        bias = parameters["bias"].astype(np.float64)
        for case in cases:
            x = float(case.clinical["x"])
            weight += 0.01 * x * (rng.standard_normal(weight.size) - weight)
            bias += 0.01 * x * (rng.standard_normal(bias.size) - bias)
        if task.round == self.config.nan_round:
            weight[0] = np.nan
        trained: Parameters = {
            "weight": weight.astype(np.float32),
            "bias": bias,
            "steps": parameters["steps"] + len(cases),
        }
        return Fit(
            parameters=self._spoil(trained, cases, task),
            num_cases=len(cases),
            metrics={"loss": Ratio(numerator=float(len(cases)), denominator=float(len(cases)))},
        )

    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:  # noqa: ARG002 - the plan's protocol
        """Return a metric that the parameters decide."""
        mean = float(np.abs(parameters["bias"]).mean())
        return Assessment(
            num_cases=len(cases),
            metrics={"mean": Ratio(numerator=mean * len(cases), denominator=float(len(cases)))},
        )

    def _spoil(self, trained: Parameters, cases: Sequence[Case], task: Task) -> Parameters:
        """Return what was trained, or what nobody should send."""
        if cases[0].clinical["site"] != self.config.spoiled_site:
            return trained
        weight = trained["weight"]
        spoilt: dict[str, Callable[[], Parameters]] = {
            "nan": lambda: {"weight": np.append(weight[1:], np.float32("nan"))},
            "inf": lambda: {"weight": np.append(weight[1:], np.float32("inf"))},
            "shape": lambda: {"weight": weight[1:]},
            "kind": lambda: {"weight": weight.astype(np.complex64)},
            "name": lambda: {"other": weight},
            "zero": lambda: {name: np.zeros_like(array) for name, array in trained.items()},
            "huge": lambda: {"weight": np.full_like(weight, 1e30)},
            "memory": lambda: {"weight": np.zeros(2**40, np.float32)},
            "sound": dict,
        }
        how = [*self.config.spoils[task.round - 1 :], "sound"][0]
        return {**trained, **spoilt[how]()}

    def _wait(self, cases: Sequence[Case], task: Task) -> None:
        if not self.config.holds:
            return
        task.report(0.5, "held")
        mark = Path(self.config.holds) / f"hold.{cases[0].clinical['site']}.{task.round}"
        if mark.exists():
            pipe = os.open(mark, os.O_RDONLY | os.O_NONBLOCK)
            while mark.exists():
                time.sleep(0.05)
            os.close(pipe)
