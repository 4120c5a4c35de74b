"""Logistic regression on the clinical table: who progresses before the horizon; numpy alone.

A case censored before the horizon says nothing about it and is left out of the loss; the C-index
takes in all cases whose outcome is known. A missing feature counts as its centre.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import ConfigurationError, DatasetError, ParametersError
from fedmq.imaging.cases import Case
from fedmq.learning.clinical_features import Scaling, read_features
from fedmq.learning.outcomes import check_columns, read_outcomes
from fedmq.learning.plan import Assessment, Fit, Metrics, PlanConfig, Ratio, Task, TrainingPlan
from fedmq.learning.ranges import Column, Epochs, Finite, LearningRate, Positive
from fedmq.learning.survival import concordance
from fedmq.parameters import Parameters

Floats = NDArray[np.float64]
_EVEN: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalLogisticConfig(PlanConfig):
    """Columns, scales and the descent; scales are fixed, so that no site's means leave it."""

    features: tuple[Column, ...] = ("age", "ecog")
    centres: tuple[Finite, ...] = (65.0, 1.0)
    scales: tuple[Positive, ...] = (10.0, 1.0)
    time_column: Column = "pfs_months"
    event_column: Column = "progressed"
    horizon_months: Positive = 12.0
    learning_rate: LearningRate = 0.1
    epochs: Epochs = 5

    def __post_init__(self) -> None:
        """Check that each feature has its centre and scale."""
        if not self.scaling.columns:
            raise ConfigurationError("features is empty", fix="name a column at least")

    @property
    def scaling(self) -> Scaling:
        """How columns become features."""
        return Scaling(columns=self.features, centres=self.centres, scales=self.scales)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """The cases of a site as arrays."""

    features: Floats
    """Shape (n, features), standardised."""
    labels: Floats
    """Shape (n,): progressed before the horizon; of no meaning where not labelled."""
    is_labelled: NDArray[np.bool_]
    times: Floats
    events: NDArray[np.bool_]


class ClinicalLogistic(TrainingPlan):
    """Full-batch gradient descent in float64; bit for bit the same wherever it runs."""

    name: ClassVar[str] = "clinical-logistic"
    config_class: ClassVar[type[PlanConfig]] = ClinicalLogisticConfig
    units: ClassVar[Mapping[str, str]] = {"time_column": "months"}
    config: ClinicalLogisticConfig

    def initial_parameters(self, seed: int) -> Parameters:  # noqa: ARG002 - nothing is drawn
        """Return zeros: an even chance for everybody."""
        return {"bias": np.zeros(1), "weight": np.zeros(len(self.config.features))}

    def train(self, parameters: Parameters, cases: Sequence[Case], task: Task) -> Fit:
        """Return the parameters after `epochs` steps down the mean loss of the labelled cases."""
        weight, bias = self._weight_and_bias(parameters)
        table = self._table(cases)
        features, labels = table.features[table.is_labelled], table.labels[table.is_labelled]
        if not len(labels):
            raise DatasetError(
                "no case can train clinical-logistic",
                code="no_usable_case",
                why="none progressed or was followed until the horizon",
                fix="add outcomes to the clinical table, or choose an earlier horizon",
            )
        for epoch in range(self.config.epochs):
            residual = _chance(features, weight, bias) - labels
            weight = weight - self.config.learning_rate * (residual[:, None] * features).mean(0)
            bias = bias - self.config.learning_rate * residual.mean()
            task.report((epoch + 1) / self.config.epochs, f"epoch {epoch + 1}/{self.config.epochs}")
        return Fit(
            parameters={"bias": bias, "weight": weight},
            num_cases=len(labels),
            metrics=_metrics(table, weight, bias),
        )

    def evaluate(
        self,
        parameters: Parameters,
        cases: Sequence[Case],
        task: Task,  # noqa: ARG002 - nothing is drawn
    ) -> Assessment:
        """Return loss and accuracy over labelled cases, the C-index over all with an outcome."""
        weight, bias = self._weight_and_bias(parameters)
        table = self._table(cases)
        return Assessment(num_cases=len(table.times), metrics=_metrics(table, weight, bias))

    def _weight_and_bias(self, parameters: Parameters) -> tuple[Floats, Floats]:
        expected = {"bias": (1,), "weight": (len(self.config.features),)}
        if {name: array.shape for name, array in parameters.items()} != expected:
            raise ParametersError(
                "the parameters are not those of clinical-logistic",
                why=f"expected {expected}",
                fix="begin from the plan's own initial parameters, with the same features",
            )
        return (
            np.array(parameters["weight"], dtype=np.float64),
            np.array(parameters["bias"], dtype=np.float64),
        )

    def _table(self, cases: Sequence[Case]) -> _Table:
        config = self.config
        outcomes = read_outcomes(
            cases, time_column=config.time_column, event_column=config.event_column
        )
        check_columns(cases, config.features)
        features = read_features(outcomes.cases, config.scaling)
        by_horizon = outcomes.times <= config.horizon_months
        return _Table(
            features=features.values,
            labels=(outcomes.events & by_horizon).astype(np.float64),
            is_labelled=outcomes.events | (outcomes.times >= config.horizon_months),
            times=outcomes.times,
            events=outcomes.events,
        )


def _logits(features: Floats, weight: Floats, bias: Floats) -> Floats:
    # A plain sum, not a product of BLAS, whose order of summation depends on the machine.
    return np.asarray((features * weight).sum(axis=1) + bias)


def _chance(features: Floats, weight: Floats, bias: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * _logits(features, weight, bias))))


def _metrics(table: _Table, weight: Floats, bias: Floats) -> Metrics:
    logits = _logits(table.features, weight, bias)
    known, labels = logits[table.is_labelled], table.labels[table.is_labelled]
    # log(1 + exp(z)) - y z: the negative log-likelihood without an overflow.
    losses = np.logaddexp(0.0, known) - labels * known
    right = (known > 0.0) == (labels > _EVEN)
    count = float(len(labels))
    return {
        "loss": Ratio(numerator=float(losses.sum()), denominator=count),
        "accuracy": Ratio(numerator=float(right.sum()), denominator=count),
        "c_index": concordance(table.times, table.events, logits),
    }
