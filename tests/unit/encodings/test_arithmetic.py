"""Eight bits and the largest: bounds, ties, and numbers at the ends of their types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedmq.encodings.arithmetic import (
    are_scales,
    choose_largest,
    dequantise,
    quantise,
    rise,
)
from fedmq.encodings.layouts import INT8_BLOCK

NORMAL = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
LINES = arrays.arrays(np.float32, st.integers(0, 3 * INT8_BLOCK), elements=NORMAL)


@given(LINES)
def test_eight_bits_are_half_a_scale_away_at_most(numbers: np.ndarray) -> None:
    """And half of the last place of the product, which is rounded too."""
    scales, whole = quantise(numbers)
    back = dequantise(scales, whole)
    assert len(scales) == -(-len(numbers) // INT8_BLOCK)
    for block, scale in enumerate(scales.astype(np.float64)):
        part = slice(block * INT8_BLOCK, (block + 1) * INT8_BLOCK)
        away = np.abs(numbers[part].astype(np.float64) - back[part])
        assert away.max() <= scale * (0.5 + 1e-5) + 1e-37


def test_the_largest_of_a_block_arrives_as_it_was_and_zeros_stay_zeros() -> None:
    """A block has a scale of its own: a large number makes nothing coarse but its neighbours."""
    numbers = np.zeros(2 * INT8_BLOCK, np.float32)
    numbers[3], numbers[INT8_BLOCK + 5] = -127.0, 1.27e-3
    scales, whole = quantise(numbers)
    assert scales[0] == 1.0
    assert (whole[3], whole[INT8_BLOCK + 5]) == (-127, 127)
    assert dequantise(scales, whole)[3] == -127.0
    assert np.flatnonzero(whole).tolist() == [3, INT8_BLOCK + 5]


def test_halves_go_to_the_even_number() -> None:
    """As IEEE 754 rounds, so that every machine does."""
    numbers = np.array([127.0, 0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    assert quantise(numbers)[1].tolist() == [127, 0, 2, 2, 0, -2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", ["tiny", "smallest_subnormal", "max"])
def test_numbers_at_the_ends_of_their_type_are_no_error(dtype: type, size: str) -> None:
    """What 127 divides to nothing is nothing; the largest may not be carried, and that is said."""
    number = getattr(np.finfo(dtype), size)
    scales, whole = quantise(np.array([number, -number, 0], dtype))
    assert np.abs(whole.astype(int)).max() <= 127
    if are_scales(scales):
        away = np.abs(dequantise(scales, whole) - np.array([number, -number, 0], dtype))
        assert away.max() <= number


def test_a_slice_is_the_same_slice_of_the_whole() -> None:
    """Wherever it begins and ends among the blocks."""
    numbers = np.random.default_rng(3).normal(size=5 * INT8_BLOCK + 7).astype(np.float32)
    scales, whole = quantise(numbers)
    back = dequantise(scales, whole)
    for start, end in [(0, 1), (1000, 1030), (1023, 1025), (1024, 2048), (3000, 5127)]:
        first, last = start // INT8_BLOCK, -(-end // INT8_BLOCK)
        part = dequantise(scales[first:last], whole[start:end], start)
        assert part.tobytes() == back[start:end].tobytes()


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf, -1.0, np.finfo(np.float32).max])
def test_what_makes_no_finite_number_is_no_scale(scale: float) -> None:
    """127 times the scale has to be a number of its type."""
    assert are_scales(np.array([0.0, 1.0, -0.0], np.float32))
    assert not are_scales(np.array([1.0, scale], np.float32))


@given(
    arrays.arrays(np.float32, st.integers(1, 200), elements=st.sampled_from([0, 1, -1, 2, -3])),
    st.integers(1, 200),
)
def test_the_largest_are_chosen_of_equals_the_first(numbers: np.ndarray, count: int) -> None:
    """Exactly as sorting by size, then by place, does."""
    order = sorted(range(len(numbers)), key=lambda place: (-abs(numbers[place]), place))
    chosen = choose_largest(numbers, count)
    assert chosen.tolist() == sorted(order[:count])
    assert chosen.dtype == np.uint16
    assert rise(chosen)


def test_places_that_repeat_or_go_back_do_not_rise() -> None:
    """None or one of them does."""
    assert rise(np.array([], np.uint16))
    assert rise(np.array([9], np.uint16))
    assert not rise(np.array([1, 1], np.uint16))
    assert not rise(np.array([2, 1], np.uint16))
