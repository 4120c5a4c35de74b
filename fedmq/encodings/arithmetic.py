"""The arithmetic of encodings on arrays: rounding to eight bits, choosing the largest. Pure.

Everything is a function of the numbers alone: no generator, no order of the processor's. Ties are
rounded to even, and among equals the first are chosen.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.encodings.layouts import INT8_BLOCK

Numbers = NDArray[np.floating]
"""Shape (n,), float32 or float64."""

_LARGEST: Final = 127


def quantise(numbers: Numbers) -> tuple[Numbers, NDArray[np.int8]]:
    """Return a scale for each block of 1024 numbers, in their type, and the numbers over it.

    The scale is the largest size over 127; a block of zeros, or of nothing larger than what its
    type can divide by 127, has 0. The distance from what `dequantise` gives is at most half a
    scale, but for the last bits of very small numbers.
    """
    padded = np.zeros(-(-len(numbers) // INT8_BLOCK) * INT8_BLOCK, numbers.dtype)
    padded[: len(numbers)] = numbers
    rows = padded.reshape(-1, INT8_BLOCK)
    largest = np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))
    scales = largest / numbers.dtype.type(_LARGEST)
    divisors = np.where(scales > 0, scales, np.inf).astype(numbers.dtype, copy=False)
    rows /= divisors[:, np.newaxis]
    np.rint(rows, out=rows)
    np.clip(rows, -_LARGEST, _LARGEST, out=rows)
    return scales, rows.reshape(-1)[: len(numbers)].astype(np.int8)


def dequantise(scales: Numbers, values: NDArray[np.int8], first: int = 0) -> Numbers:
    """Return the numbers for `values`, the `first`-th of their array and those that follow.

    `scales` are those of the blocks that they stand in.
    """
    offset = first % INT8_BLOCK
    numbers = values.astype(scales.dtype)
    numbers *= np.repeat(scales, INT8_BLOCK)[offset : offset + len(values)]
    return numbers


def are_scales(scales: Numbers) -> bool:
    """Return whether these can be scales: finite and not negative, times 127 too."""
    with np.errstate(over="ignore", invalid="ignore"):
        largest = scales * scales.dtype.type(_LARGEST)
        return bool((np.isfinite(largest) & (scales >= 0)).all())


def choose_largest(numbers: Numbers, count: int) -> NDArray[np.uint16]:
    """Return the places of the `count` largest by size, rising; of equals the first.

    At most 65536 numbers, all finite.
    """
    sizes = np.abs(numbers)
    if count >= len(numbers):
        return np.arange(len(numbers), dtype=np.uint16)
    # The value at this place is the same however the rest is ordered; numpy's own choice of places
    # among equals is not.
    least = np.partition(sizes, len(numbers) - count)[len(numbers) - count]
    is_chosen = sizes > least
    equal = np.flatnonzero(sizes == least)
    is_chosen[equal[: count - int(is_chosen.sum())]] = True
    return np.flatnonzero(is_chosen).astype(np.uint16)


def rise(indices: NDArray[np.uint16]) -> bool:
    """Return whether places come in order, each of them once."""
    return bool((indices[1:] > indices[:-1]).all())
