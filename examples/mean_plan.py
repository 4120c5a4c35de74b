# ruff: noqa: INP001 - a file of its own, not of a package
"""The mean of one column of the clinical table: the smallest plan that learns from all sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.learning.outcomes import check_columns, read_number
from fedmq.learning.plan import Assessment, Fit, PlanConfig, Ratio, Task, TrainingPlan
from fedmq.learning.ranges import Column
from fedmq.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanConfig(PlanConfig):
    """What an experiment may set under [config]."""

    column: Column = "age"


class MeanPlan(TrainingPlan):
    """Each site gives its own mean; weighted by cases, they fold into the mean of all cases."""

    name: ClassVar[str] = "mean"
    config_class: ClassVar[type[PlanConfig]] = MeanConfig
    config: MeanConfig

    def initial_parameters(self, seed: int) -> Parameters:  # noqa: ARG002 - nothing is drawn
        """Return zero."""
        return {"mean": np.zeros(1)}

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return the mean of this site's training cases."""
        values = self._values(cases)
        if not len(values):
            raise DatasetError("no case has a value", code="no_usable_case")
        task.report(1.0, "one pass")
        mean = np.array([values.mean()])
        return Fit(
            parameters={"mean": mean},
            num_cases=len(values),
            metrics={"loss": _squared_error(values, parameters["mean"])},
        )

    def evaluate(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Assessment:
        """Return how far this site's validation cases are from the federation's mean."""
        values = self._values(cases)
        task.report(1.0, "one pass")
        return Assessment(
            num_cases=len(values),
            metrics={"loss": _squared_error(values, parameters["mean"])},
        )

    def _values(self, cases: Sequence[Case]) -> np.ndarray:
        """Return the column's numbers, shape (n,); a case without one is left out."""
        check_columns(cases, [self.config.column])
        numbers = [read_number(case, self.config.column) for case in cases]
        return np.array([number for number in numbers if number is not None])


def _squared_error(values: np.ndarray, mean: np.ndarray) -> Ratio:
    """Return the sum over a count: the federation adds up both, and never averages averages."""
    return Ratio(numerator=float(((values - mean) ** 2).sum()), denominator=float(len(values)))
