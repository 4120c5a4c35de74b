"""Writes an update in its encoding, block by block, each to its places in one file."""

from typing import Protocol

import numpy as np

from fedmq.encodings.arithmetic import Numbers, are_scales, choose_largest, dequantise, quantise
from fedmq.encodings.kinds import Encoding, Kind
from fedmq.encodings.layouts import (
    INDICES,
    INT8_BLOCK,
    SCALES,
    TOP_K_BLOCK,
    encoded_layout,
    kind_of,
    num_chosen,
    values_name,
    working_type,
)
from fedmq.errors import ParametersError
from fedmq.parameters import (
    DTYPES,
    Array,
    Layout,
    Tensor,
    blocks,
    cast_array,
    is_finite,
    widen_bfloat16,
)


class WritableAt(Protocol):
    """A file that is written anywhere."""

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`."""


class TooLargeError(ParametersError):
    """A number is beyond what an encoding can carry."""


class UpdateWriter:
    """One update of a model, as it is written."""

    def __init__(self, model: Layout, encoding: Encoding, file: WritableAt) -> None:
        """Write the header to `file`.

        Raises:
            ParametersError: the update would have too many arrays.
        """
        layout, header = encoded_layout(model, encoding)
        self._parts = {tensor.name: tensor for tensor in layout.tensors}
        self._encoding = encoding
        self._file = file
        file.write_at(0, header)

    def write(self, tensor: Tensor, start: int, numbers: Array) -> Array:
        """Write numbers of a model's array, from its `start`-th on; return those that arrive.

        `numbers`, shape (n,), are of the array's own type where it travels exactly, else of its
        working type; `start` is a multiple of 65536, and n too but at the array's end. Those of
        bf16 and fp16 are returned as they travel, all others in the type that came.

        Raises:
            TooLargeError: the encoding has no finite number for one of them.
        """
        values = self._parts[values_name(tensor, self._encoding)]
        match kind_of(tensor, self._encoding):
            case Kind.EXACT:
                self._put(values, start, numbers)
                return numbers
            case Kind.BF16 | Kind.FP16:
                with np.errstate(over="ignore"):  # found by the next lines
                    narrow = cast_array(numbers, values.numpy_dtype)
                if not is_finite(narrow):
                    raise self._too_large(tensor)
                self._put(values, start, narrow)
                return narrow
            case Kind.INT8:
                return self._write_int8(tensor, values, start, working(tensor, numbers))
            case Kind.TOP_K:
                return self._write_largest(tensor, values, start, working(tensor, numbers))

    def _write_int8(self, tensor: Tensor, values: Tensor, start: int, numbers: Numbers) -> Numbers:
        scales, whole = quantise(numbers)
        if not are_scales(scales):
            raise self._too_large(tensor)
        self._put(self._parts[tensor.name + SCALES], start // INT8_BLOCK, scales)
        self._put(values, start, whole)
        return dequantise(scales, whole)

    def _write_largest(
        self, tensor: Tensor, values: Tensor, start: int, numbers: Numbers
    ) -> Numbers:
        sent = np.zeros_like(numbers)
        share, places, chosen = self._encoding.share, [], []
        for offset, length in blocks(len(numbers), TOP_K_BLOCK):
            block = numbers[offset : offset + length]
            indices = choose_largest(block, num_chosen(length, share))
            places.append(indices)
            chosen.append(block[indices])
            sent[offset : offset + length][indices] = chosen[-1]
        first = start // TOP_K_BLOCK * num_chosen(TOP_K_BLOCK, share)
        if places:
            self._put(self._parts[tensor.name + INDICES], first, np.concatenate(places))
            self._put(values, first, np.concatenate(chosen))
        return sent

    def _put(self, part: Tensor, start: int, numbers: Array) -> None:
        offset = part.begin + start * part.numpy_dtype.itemsize
        self._file.write_at(offset, np.ascontiguousarray(numbers).view(np.uint8).data)

    def _too_large(self, tensor: Tensor) -> TooLargeError:
        return TooLargeError(
            f"array {tensor.name!r} has numbers too large for {self._encoding.kind}",
            fix="use another update_encoding; of those with fewer bytes, bf16 has the widest range",
        )


def working(tensor: Tensor, numbers: Array) -> Numbers:
    """Return numbers of an array in its working type."""
    wide: Numbers = widen_bfloat16(numbers).astype(DTYPES[working_type(tensor)], copy=False)
    return wide
