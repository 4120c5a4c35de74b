"""Residuals as files: what an encoding left unsent of an update, each array in its working type."""

import numpy as np

from fedmq.encodings.arithmetic import Numbers
from fedmq.encodings.layouts import residual_layout
from fedmq.encodings.writer import WritableAt
from fedmq.errors import ParametersError
from fedmq.parameters import Layout, Readable, Tensor, file_layout, read_slice


class ResidualWriter:
    """What stays unsent of one update, as it is written."""

    def __init__(self, model: Layout, file: WritableAt) -> None:
        """Write the header to `file`."""
        layout, header = residual_layout(model)
        self._parts = {tensor.name: tensor for tensor in layout.tensors}
        self._file = file
        file.write_at(0, header)

    def write(self, tensor: Tensor, start: int, numbers: Numbers) -> None:
        """Write numbers of a model's array, from its `start`-th on, shape (n,)."""
        part = self._parts[tensor.name]
        offset = part.begin + start * part.numpy_dtype.itemsize
        self._file.write_at(offset, np.ascontiguousarray(numbers).view(np.uint8).data)


class ResidualReader:
    """What stayed unsent of one update."""

    def __init__(self, file: Readable, model: Layout) -> None:
        """Read the header alone.

        Raises:
            ParametersError: it is of another model.
        """
        layout = file_layout(file)
        if layout != residual_layout(model)[0]:
            raise ParametersError("what stayed unsent is of another model")
        self._file = file
        self._parts = {tensor.name: tensor for tensor in layout.tensors}

    def read(self, tensor: Tensor, start: int, length: int) -> Numbers:
        """Return numbers for a model's array, from its `start`-th on, shape (length,)."""
        numbers: Numbers = read_slice(self._file, self._parts[tensor.name], start, length)  # type: ignore[assignment]
        return numbers
