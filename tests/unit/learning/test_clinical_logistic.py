"""Logistic regression on the clinical table, against its formulas."""

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from fedmq.errors import ConfigurationError, DatasetError, ParametersError
from fedmq.imaging.cases import Case
from fedmq.learning.plan import Ratio, Task
from fedmq.learning.plans.clinical_logistic import ClinicalLogistic, ClinicalLogisticConfig

TASK = Task(seed=1, round=1, report=lambda _share, _text: None)


def cases_of(rows: Iterable[tuple[object, object, object, object]]) -> list[Case]:
    """Return cases by age, ECOG, months and progressed."""
    columns = ("age", "ecog", "pfs_months", "progressed")
    return [
        Case(
            case_id=str(number),
            volumes={},
            clinical={column: str(cell) for column, cell in zip(columns, row, strict=True)},
        )
        for number, row in enumerate(rows)
    ]


def plan_with(**values: Any) -> ClinicalLogistic:  # noqa: ANN401 - fields of many types
    """Return the plan with some of its config set."""
    return ClinicalLogistic(ClinicalLogisticConfig(**values))


def test_one_step_is_the_gradient_of_the_mean_loss() -> None:
    """From zero, the residual is 0.5 - label: counted by hand."""
    plan = plan_with(epochs=1, learning_rate=1.0)
    cases = cases_of([(75, 2, 3.0, 1), (55, 1, 20.0, 0)])
    fit = plan.train(plan.initial_parameters(0), cases, TASK)
    np.testing.assert_allclose(fit.parameters["weight"], [0.5, 0.25])
    np.testing.assert_allclose(fit.parameters["bias"], [0.0])
    assert fit.num_cases == 2
    assert fit.metrics["accuracy"] == Ratio(numerator=2.0, denominator=2.0)


def test_who_was_censored_early_is_left_out_of_the_loss_but_not_of_the_ranking() -> None:
    """Labelled: an event at any time, or followed to the horizon."""
    plan = plan_with()
    rows = [(65, 1, 12.0, 1), (65, 1, 11.9, 0), (65, 1, 12.0, 0), (65, 1, 30.0, 1), (65, 1, "", 1)]
    result = plan.evaluate(plan.initial_parameters(0), cases_of(rows), TASK)
    assert result.num_cases == 4
    assert result.metrics["loss"].denominator == 3.0
    assert result.metrics["loss"].numerator == pytest.approx(3 * np.log(2))
    assert result.metrics["c_index"].denominator == 2.0


def test_a_missing_feature_counts_as_its_centre() -> None:
    """The same update as with the centre written in the cell."""
    plan = plan_with()
    one, other = (
        plan.train(plan.initial_parameters(0), cases_of([(age, 2, 3, 1), (50, 0, 20, 0)]), TASK)
        for age in ("", "65")
    )
    np.testing.assert_array_equal(one.parameters["weight"], other.parameters["weight"])


def test_training_finds_what_drives_progression() -> None:
    """Loss falls, the sign of ECOG is found, and the same call gives the same bits."""
    rng = np.random.default_rng(1)
    ecog = rng.integers(0, 4, size=80)
    months = rng.exponential(24.0 / 2.0**ecog)
    cases = cases_of((60 + rng.integers(10), e, m, 1) for e, m in zip(ecog, months, strict=True))
    plan = plan_with(epochs=200, learning_rate=0.5)
    start = plan.initial_parameters(0)
    before = plan.evaluate(start, cases, TASK).metrics["loss"].numerator
    fit, again = plan.train(start, cases, TASK), plan.train(start, cases, TASK)
    assert fit.metrics["loss"].numerator < 0.85 * before
    assert fit.parameters["weight"][1] > 0.5
    assert fit.metrics["c_index"].numerator > 0.65 * fit.metrics["c_index"].denominator
    assert fit.parameters["weight"].tobytes() == again.parameters["weight"].tobytes()
    assert start["weight"].tolist() == [0.0, 0.0]


def test_a_site_where_nobody_can_be_labelled_says_so() -> None:
    """It cannot train, but it can rank nothing without a fault."""
    plan = plan_with()
    with pytest.raises(DatasetError) as caught:
        plan.train(plan.initial_parameters(0), cases_of([(65, 1, 3.0, 0)]), TASK)
    assert caught.value.code == "no_usable_case"
    result = plan.evaluate(plan.initial_parameters(0), [], TASK)
    assert (result.num_cases, result.metrics["loss"]) == (0, Ratio(numerator=0.0, denominator=0.0))


def test_parameters_of_another_model_are_refused() -> None:
    """Names and shapes must fit the features."""
    plan = plan_with(features=("age",), centres=(60.0,), scales=(10.0,))
    with pytest.raises(ParametersError):
        plan.evaluate({"bias": np.zeros(1), "weight": np.zeros(2)}, [], TASK)


def test_each_feature_needs_its_scale() -> None:
    """A config that does not fit together is refused before anything runs."""
    with pytest.raises(ConfigurationError):
        plan_with(features=("age", "ecog", "ldh"))


def test_progress_reaches_one() -> None:
    """Whoever watches sees each epoch."""
    seen: list[tuple[float, str]] = []
    task = Task(seed=1, round=1, report=lambda share, text: seen.append((share, text)))
    plan = plan_with(epochs=2)
    plan.train(plan.initial_parameters(0), cases_of([(65, 1, 3.0, 1)]), task)
    assert seen == [(0.5, "epoch 1/2"), (1.0, "epoch 2/2")]


def test_the_plan_needs_neither_torch_nor_scipy() -> None:
    """A site with a clinical table alone installs little."""
    code = (
        "import sys; sys.modules.update(torch=None, scipy=None, monai=None); "
        "import fedmq.learning.plans.clinical_logistic"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603
