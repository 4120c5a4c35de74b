"""What a plan returned: whether it is what the plan's protocol promises, and fits what was given.

Plan code is somebody else's; nothing about its results is taken for granted.
"""

import operator
import re
from collections.abc import Mapping

import numpy as np

from fedmq.errors import ParametersError, PlanError
from fedmq.learning.plan import Assessment, Fit, Ratio
from fedmq.messages.fields import MAX_METRICS, METRIC_PATTERN
from fedmq.parameters import (
    BFLOAT16,
    Array,
    Parameters,
    cast_array,
    first_nonfinite,
    require_same_shapes,
)


def require_fit(fit: object) -> None:
    """Return if `fit` is a Fit with named arrays.

    Raises:
        PlanError: it is something else.
    """
    if not isinstance(fit, Fit) or not _is_parameters(fit.parameters):
        raise PlanError("train() gave no Fit with named numpy arrays", fix="mend the plan")


def require_assessment(assessment: object) -> None:
    """Return if `assessment` is an Assessment.

    Raises:
        PlanError: it is something else.
    """
    if not isinstance(assessment, Assessment):
        raise PlanError("evaluate() gave no Assessment", fix="mend the plan")


def require_count(num_cases: object, most: int) -> None:
    """Return if `num_cases` is 0 to `most`; it weighs the update, so it may not be made up.

    Raises:
        PlanError: it is no whole number, or out of range.
    """
    try:
        count = operator.index(num_cases)  # type: ignore[arg-type]  # what has no index raises
    except TypeError as error:
        raise PlanError("the plan's count of cases is no number", fix="mend the plan") from error
    if not 0 <= count <= most:
        raise PlanError(f"the plan counts {count} cases of {most}", fix="mend the plan")


def fitted_parameters(found: Parameters, given: Parameters) -> dict[str, Array]:
    """Return `found` in the types of `given`.

    Raises:
        ParametersError: names, shapes or kinds of numbers differ.
    """
    require_same_shapes(found, given)
    for name in sorted(given):
        if not _is_same_kind(found[name].dtype, given[name].dtype):
            raise ParametersError(
                f"array {name!r} has type {found[name].dtype}, declared {given[name].dtype}"
            )
    with np.errstate(over="ignore"):  # what overflows is infinite, and found to be
        return {name: cast_array(found[name], array.dtype) for name, array in given.items()}


def require_finite(parameters: Parameters) -> None:
    """Return if all numbers are finite.

    Raises:
        ParametersError: one is not; the text names its array.
    """
    name = first_nonfinite(parameters)
    if name is not None:
        raise ParametersError(
            f"array {name!r} holds NaN or infinity after training",
            why="training diverged",
            fix="lower the learning rate, or look for values in the data that are out of range",
        )


def plain_metrics(metrics: object) -> dict[str, tuple[float, float]]:
    """Return the metrics as an answer carries them: name -> numerator, denominator.

    Raises:
        PlanError: too many, a name that is no word, or no finite ratio over a count of 0 or more.
    """
    if not isinstance(metrics, Mapping) or len(metrics) > MAX_METRICS:
        raise PlanError(f"the metrics are no mapping of at most {MAX_METRICS}", fix="mend the plan")
    plain: dict[str, tuple[float, float]] = {}
    for name, ratio in metrics.items():
        if not isinstance(name, str) or not re.fullmatch(METRIC_PATTERN, name):
            raise PlanError(
                "a metric's name is no word",
                why="expected: a small letter, then at most 39 small letters, digits or _",
                fix="mend the plan",
            )
        if not isinstance(ratio, Ratio):
            raise PlanError(f"metric {name} is no Ratio", fix="mend the plan")
        plain[name] = (float(ratio.numerator), float(ratio.denominator))
        if not np.isfinite(plain[name]).all() or plain[name][1] < 0:
            raise PlanError(
                f"metric {name} is not finite, or its count is negative",
                fix="count 0 of 0 where there is nothing to measure",
            )
    return plain


def _is_same_kind(found: np.dtype[np.generic], given: np.dtype[np.generic]) -> bool:
    """Return whether `found` may become `given`.

    A float64 result of float32 parameters is cast; a float for an integer has lost its sense.
    """
    if given == BFLOAT16:
        # Whole numbers may be its bits, which only whoever made them can tell.
        return found == BFLOAT16 or np.issubdtype(found, np.floating)
    number = np.dtype(np.float32) if found == BFLOAT16 else found
    return np.can_cast(number, given, "same_kind")


def _is_parameters(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(array, np.ndarray) for name, array in value.items()
    )
