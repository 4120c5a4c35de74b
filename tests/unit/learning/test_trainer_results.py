"""What a plan returned, in types that do not mix: bfloat16 beside floats and integers."""

import numpy as np
import pytest

from fedmq.errors import ParametersError
from fedmq.learning.trainer_results import fitted_parameters, require_finite
from fedmq.parameters import BFLOAT16, Array
from tests.support.bfloat16 import of_bits

ONE, HALF, NAN = 0x3F80, 0x3F00, 0x7FC0


@pytest.mark.parametrize(
    "found",
    [
        of_bits([ONE, HALF]),
        np.array([1, 0.5], np.float32),
        np.array([1 + 2**-8, 0.5], np.float64),
        np.array([1, 0.5], np.float16),
    ],
)
def test_what_was_counted_in_wider_floats_is_rounded_to_bfloat16(found: Array) -> None:
    """A plan in numpy widens, trains and returns float32; 1 + 2**-8 is halfway, and 1 is even."""
    fitted = fitted_parameters({"w": found}, {"w": of_bits([0, 0])})["w"]
    assert fitted.dtype == BFLOAT16
    assert fitted["bfloat16"].tolist() == [ONE, HALF]


@pytest.mark.parametrize("dtype", ["<u2", "<i8", "?", "<c8"])
def test_what_is_no_float_is_not_taken_for_bfloat16(dtype: str) -> None:
    """Whole numbers could be its bits: nobody guesses."""
    with pytest.raises(ParametersError, match="'w'"):
        fitted_parameters({"w": np.ones(2, dtype)}, {"w": of_bits([0, 0])})


def test_bfloat16_becomes_the_float_that_was_given_and_no_integer() -> None:
    """Widened exactly; never its bits."""
    given = {"w": np.zeros(2, np.float32)}
    assert fitted_parameters({"w": of_bits([ONE, HALF])}, given)["w"].tolist() == [1, 0.5]
    with pytest.raises(ParametersError, match="'w'"):
        fitted_parameters({"w": of_bits([ONE, HALF])}, {"w": np.zeros(2, np.uint16)})


def test_a_number_beyond_bfloat16_is_found_before_it_leaves() -> None:
    """The largest float64 is none of its numbers, nor is NaN."""
    for number in (np.finfo(np.float64).max, np.nan):
        fitted = fitted_parameters({"w": np.array([number])}, {"w": of_bits([0])})
        with pytest.raises(ParametersError, match="'w'"):
            require_finite(fitted)
    require_finite({"w": of_bits([0x7F7F])})
    with pytest.raises(ParametersError, match="'w'"):
        require_finite({"w": of_bits([NAN])})
