"""Reads an encoded update slice by slice, in little memory; what is not one is found first."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fedmq.encodings.arithmetic import Numbers, are_scales, dequantise, rise
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
    Readable,
    Tensor,
    blocks,
    file_layout,
    is_finite,
    read_slice,
    widen_bfloat16,
)

_BLOCK_BYTES = 4 * 2**20


class Fault(StrEnum):
    """Why numbers cannot be read from an update."""

    NOT_FINITE = "update_not_finite"
    """NaN or infinity among numbers or scales, or what they make together."""
    NEGATIVE_SCALE = "update_scale_negative"
    INDEX_OUT_OF_RANGE = "update_index_out_of_range"
    INDICES_NOT_RISING = "update_indices_not_rising"
    """Out of order, or one of them twice."""


class EncodedUpdate:
    """The update of a model, in a file."""

    def __init__(self, file: Readable, model: Layout, encoding: Encoding) -> None:
        """Read the header alone.

        Raises:
            ParametersError: it is not the one file layout of such updates.
        """
        found, (expected, _) = file_layout(file), encoded_layout(model, encoding)
        if found != expected:
            raise ParametersError(f"it has other arrays than {encoding} updates of the model")
        self._file = file
        self._model = model
        self._encoding = encoding
        self._parts = {tensor.name: tensor for tensor in found.tensors}

    def find_fault(self) -> Fault | None:
        """Return why not all numbers can be read, None if they can.

        Raises:
            ParametersError: the file became shorter since its header was read.
        """
        faults = (self._fault_of(tensor) for tensor in self._model.tensors)
        return next((fault for fault in faults if fault is not None), None)

    def read(self, tensor: Tensor, start: int, length: int) -> NDArray[np.float64]:
        """Return `length` numbers for an array of the model, from its `start`-th on, as float64.

        Raises:
            ParametersError: the file became shorter since its header was read.
        """
        values = self._values(tensor)
        match kind_of(tensor, self._encoding):
            case Kind.EXACT | Kind.BF16 | Kind.FP16:
                found = widen_bfloat16(read_slice(self._file, values, start, length))
                return found.astype(np.float64)
            case Kind.INT8:
                return self._read_int8(tensor, values, start, length).astype(np.float64)
            case Kind.TOP_K:
                return self._read_largest(tensor, values, start, length).astype(np.float64)

    def _values(self, tensor: Tensor) -> Tensor:
        return self._parts[values_name(tensor, self._encoding)]

    def _read_int8(self, tensor: Tensor, values: Tensor, start: int, length: int) -> Array:
        first, last = start // INT8_BLOCK, -(-(start + length) // INT8_BLOCK)
        part = self._parts[tensor.name + SCALES]
        scales = self._read_scales(part, first, last - first)
        whole: NDArray[np.int8] = read_slice(self._file, values, start, length)  # type: ignore[assignment]
        return dequantise(scales, whole, start)

    def _read_scales(self, part: Tensor, first: int, count: int) -> Numbers:
        scales: Numbers = read_slice(self._file, part, first, count)  # type: ignore[assignment]
        return scales

    def _read_largest(self, tensor: Tensor, values: Tensor, start: int, length: int) -> Array:
        numbers = np.zeros(length, DTYPES[working_type(tensor)])
        for block in range(start // TOP_K_BLOCK, -(-(start + length) // TOP_K_BLOCK)):
            first, count = self._extent(tensor, block)
            places = self._read_indices(tensor, first, count).astype(np.int64)
            places += block * TOP_K_BLOCK - start
            is_inside = (places >= 0) & (places < length)
            chosen = read_slice(self._file, values, first, count)
            numbers[places[is_inside]] = chosen[is_inside]
        return numbers

    def _extent(self, tensor: Tensor, block: int) -> tuple[int, int]:
        """Return where the chosen numbers of a block begin, and how many they are."""
        share = self._encoding.share
        num_items = min(TOP_K_BLOCK, tensor.num_items - block * TOP_K_BLOCK)
        return block * num_chosen(TOP_K_BLOCK, share), num_chosen(num_items, share)

    def _read_indices(self, tensor: Tensor, first: int, count: int) -> NDArray[np.uint16]:
        part = self._parts[tensor.name + INDICES]
        indices: NDArray[np.uint16] = read_slice(self._file, part, first, count)  # type: ignore[assignment]
        return indices

    def _fault_of(self, tensor: Tensor) -> Fault | None:
        kind = kind_of(tensor, self._encoding)
        if kind is Kind.INT8:
            return self._fault_of_scales(tensor)
        if not self._is_finite(self._values(tensor)):
            return Fault.NOT_FINITE
        return self._fault_of_indices(tensor) if kind is Kind.TOP_K else None

    def _is_finite(self, part: Tensor) -> bool:
        if not part.is_floating:
            return True
        size = _BLOCK_BYTES // part.numpy_dtype.itemsize
        pieces = blocks(part.num_items, size)
        return all(is_finite(read_slice(self._file, part, *piece)) for piece in pieces)

    def _fault_of_scales(self, tensor: Tensor) -> Fault | None:
        part = self._parts[tensor.name + SCALES]
        for piece in blocks(part.num_items, _BLOCK_BYTES // part.numpy_dtype.itemsize):
            scales = self._read_scales(part, *piece)
            if not are_scales(scales):
                is_number = is_finite(scales) and bool((scales < 0).any())
                return Fault.NEGATIVE_SCALE if is_number else Fault.NOT_FINITE
        return None

    def _fault_of_indices(self, tensor: Tensor) -> Fault | None:
        for block, (_, num_items) in enumerate(blocks(tensor.num_items, TOP_K_BLOCK)):
            indices = self._read_indices(tensor, *self._extent(tensor, block))
            if len(indices) and int(indices.max()) >= num_items:
                return Fault.INDEX_OUT_OF_RANGE
            if not rise(indices):
                return Fault.INDICES_NOT_RISING
        return None
