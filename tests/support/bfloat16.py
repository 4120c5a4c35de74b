"""bfloat16 by its definition (sign, 8 bits of exponent, 7 of fraction) and rational numbers."""

import struct
from bisect import bisect_left
from collections.abc import Iterable
from fractions import Fraction
from math import copysign
from typing import Final

import numpy as np

from fedmq.parameters import BFLOAT16, Array

_INFINITY: Final = 0x7F80


def of_bits(bits: Iterable[int]) -> Array:
    """Return bfloat16 numbers with these bits, shape (n,)."""
    return np.array(list(bits), "<u2").view(BFLOAT16)


def as_numbers(bits: Iterable[int]) -> list[float]:
    """Return the numbers that these bits stand for, all finite."""
    return [copysign(float(_magnitude(one & 0x7FFF)), 0.5 - (one >> 15)) for one in bits]


def nearest_bits(exact: Fraction, sign: float) -> int:
    """Return the bits of the number nearest to `exact`, halves to even; zero is signed as `sign`.

    Beyond the largest number is infinity, which begins halfway to where the next would be
    (IEEE 754, section 4.3.1).
    """
    distance = abs(exact)
    upper = min(bisect_left(_MAGNITUDES, distance), _INFINITY)
    lower = max(upper - 1, 0)
    below, above = distance - _MAGNITUDES[lower], _MAGNITUDES[upper] - distance
    if below == above:
        found = lower if lower % 2 == 0 else upper
    else:
        found = lower if below < above else upper
    return found | (0x8000 if copysign(1, sign) < 0 else 0)


def bits_of(number: float) -> int:
    """Return the bits of a number that bfloat16 has."""
    (bits,) = struct.unpack(">I", struct.pack(">f", number))
    assert bits & 0xFFFF == 0
    return int(bits >> 16)


def _magnitude(bits: int) -> Fraction:
    exponent, fraction = bits >> 7, bits & 0x7F
    if exponent == 0:
        return Fraction(fraction, 2**133)
    return Fraction(128 + fraction) * Fraction(2) ** (exponent - 134)


_MAGNITUDES: Final = [_magnitude(bits) for bits in range(_INFINITY + 1)]
"""All of them, ascending; the last is where the number after the largest would be."""
