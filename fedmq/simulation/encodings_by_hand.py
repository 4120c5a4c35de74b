"""What encodings make of small updates, number by number: no code of `fedmq.encodings` is used.

Arrays here are shorter than a block of any encoding, so each has one scale, and one choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.encodings.kinds import EXACT, Encoding, Kind
from fedmq.parameters import Array

Residual = Mapping[str, NDArray[np.floating]]
"""Name -> what stayed unsent, in the type in which an encoding counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Travel:
    """How updates and models travel."""

    updates: Encoding = EXACT
    models: Kind = Kind.EXACT


AS_IT_IS: Final = Travel()


def round_by_hand(model: Mapping[str, Array], kind: Kind) -> dict[str, Array]:
    """Return a model as nodes have it that were sent it in this way."""
    rounded = {}
    for name, array in model.items():
        numbers = [_rounded(float(number), kind, array) for number in array.flat]
        rounded[name] = np.array(numbers).reshape(array.shape).astype(array.dtype)
    return rounded


def send_by_hand(
    update: Mapping[str, Array], encoding: Encoding, residual: Residual
) -> tuple[dict[str, NDArray[np.float64]], Residual]:
    """Return the numbers that arrive of an update, and what stays unsent."""
    arrived: dict[str, NDArray[np.float64]] = {}
    unsent: dict[str, NDArray[np.floating]] = {}
    for name, array in update.items():
        if not encoding.has_feedback:
            numbers = [_rounded(float(number), encoding.kind, array) for number in array.flat]
            arrived[name] = np.array(numbers).reshape(array.shape)
            continue
        counting: NDArray[np.floating] = array.astype(
            np.float64 if array.dtype == np.float64 else np.float32
        )
        wanted = counting + residual[name] if name in residual else counting
        is_int8 = encoding.kind is Kind.INT8
        sent = _eighths(wanted) if is_int8 else _largest(wanted, encoding.share)
        arrived[name], unsent[name] = sent.astype(np.float64), wanted - sent
    return arrived, unsent


def _rounded(number: float, kind: Kind, array: Array) -> float:
    is_half = array.dtype.itemsize <= np.dtype(np.float16).itemsize
    if kind is Kind.EXACT or is_half:
        return number
    return _bfloat16(number) if kind is Kind.BF16 else float(np.float16(number))


def _bfloat16(number: float) -> float:
    """Return the nearest number with eight significant bits; of two, the even one."""
    number = float(np.float32(number))
    if number == 0:
        return number
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * 256), exponent - 8)


def _eighths(numbers: NDArray[np.floating]) -> NDArray[np.floating]:
    kind = numbers.dtype.type
    scale = max(abs(number) for number in numbers.flat) / kind(127)
    if not scale:
        return np.zeros_like(numbers)
    whole = [kind(max(-127, min(127, round(float(number / scale))))) for number in numbers.flat]
    return np.array([number * scale for number in whole], numbers.dtype).reshape(numbers.shape)


def _largest(numbers: NDArray[np.floating], share: float) -> NDArray[np.floating]:
    flat = list(numbers.flat)
    order = sorted(range(len(flat)), key=lambda place: (-abs(flat[place]), place))
    sent = np.zeros_like(numbers)
    for place in order[: max(1, math.ceil(share * len(flat)))]:
        sent.flat[place] = flat[place]
    return sent
