"""A plan that learns nothing: adds about 1.0 to every number, as the peers' null training does.

What it adds differs from site to site: equal updates would be one payload, which is sent once.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedmq.imaging.cases import Case
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Task, TrainingPlan
from fedmq.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class NullConfig(PlanConfig):
    """How large the model is."""

    mb: int = 1


class Null(TrainingPlan):
    """A model of so many megabytes in arrays of one megabyte each."""

    name: ClassVar[str] = "null"
    config_class: ClassVar[type[PlanConfig]] = NullConfig
    config: NullConfig

    def initial_parameters(self, seed: int) -> Parameters:  # noqa: ARG002 - zeros need none
        """Return zeros."""
        count = 1_000_000 // 4
        return {f"layer{number:03}": np.zeros(count, "<f4") for number in range(self.config.mb)}

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Add one, and a little of the site's own."""
        task.report(0.0, "adding")
        step = np.float32(1.0 + zlib.crc32(cases[0].case_id.encode()) % 1000 / 1000)
        trained = {name: np.add(array, step) for name, array in parameters.items()}
        return Fit(parameters=trained, num_cases=len(cases), metrics={})

    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Look at nothing."""
        task.report(float(not parameters), "looking")
        return Assessment(num_cases=len(cases), metrics={})
