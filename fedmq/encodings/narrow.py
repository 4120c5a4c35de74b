"""Models that go down in fewer bytes: float32 and float64 rounded to bf16 or fp16, and back.

The file is a parameters file again. The name of each array ends with the type that it has in the
model, `<name>/F32`, so that whoever widens it needs nothing else; the ending is on every name, so
that none can be taken for another. What is as small already, or is no floating point, is as it was.
"""

from collections.abc import Collection
from typing import Final

import numpy as np

from fedmq.encodings.kinds import Kind
from fedmq.encodings.layouts import NARROW, kind_of_model
from fedmq.encodings.writer import TooLargeError
from fedmq.errors import ParametersError
from fedmq.parameters import (
    DTYPES,
    Array,
    Parameters,
    Readable,
    Tensor,
    Writable,
    blocks,
    cast_array,
    file_layout,
    is_finite,
    plan_layout,
    read_slice,
)

_BLOCK_ITEMS: Final = 256 * 1024
_BETWEEN: Final = "/"


def write_narrow(model: Readable, kind: Kind, out: Writable) -> None:
    """Write `model`, of which all is read block by block, to `out` as it travels.

    Raises:
        TooLargeError: it has a number that the narrow type has not.
        ParametersError: it is no parameters file, or has too many arrays.
    """
    wide = {_key(tensor.name, tensor.dtype): tensor for tensor in file_layout(model).tensors}
    layout, header = plan_layout(
        {
            name: (NARROW.get(kind_of_model(tensor, kind), tensor.dtype), tensor.shape)
            for name, tensor in wide.items()
        }
    )
    out.write(header)
    for narrow in layout.tensors:
        for piece in blocks(narrow.num_items, _BLOCK_ITEMS):
            numbers = read_slice(model, wide[narrow.name], *piece)
            with np.errstate(over="ignore"):  # found by the next lines
                rounded = cast_array(numbers, narrow.numpy_dtype)
            if not is_finite(rounded):
                raise TooLargeError(f"the model has numbers too large for {kind}")
            out.write(rounded.view(np.uint8).data)


class SentModel:
    """A model as a node was sent it, narrow or not, with the arrays of the model itself."""

    def __init__(self, file: Readable, *, is_narrow: bool) -> None:
        """Read the header alone.

        Raises:
            ParametersError: it is no parameters file, or none of a narrow model.
        """
        self._file = file
        found = file_layout(file)
        self._parts = {tensor.name: tensor for tensor in found.tensors}
        self.layout = found
        if is_narrow:
            types = _types(self._parts)
            self._parts = {name: self._parts[_key(name, dtype)] for name, dtype in types.items()}
            self.layout = plan_layout(
                {name: (types[name], part.shape) for name, part in self._parts.items()}
            )[0]

    def read(self, tensor: Tensor, start: int, length: int) -> Array:
        """Return numbers of an array of the model, from its `start`-th on, in their own type.

        Raises:
            ParametersError: the file became shorter since its header was read.
        """
        numbers = read_slice(self._file, self._parts[tensor.name], start, length)
        return cast_array(numbers, tensor.numpy_dtype)


def widen_parameters(parameters: Parameters) -> dict[str, Array]:
    """Return the arrays of a narrow model as the model has them.

    Raises:
        ParametersError: they are none of a narrow model.
    """
    return {
        name: cast_array(parameters[_key(name, dtype)], DTYPES[dtype])
        for name, dtype in _types(parameters).items()
    }


def _key(name: str, dtype: str) -> str:
    return name + _BETWEEN + dtype


def _types(keys: Collection[str]) -> dict[str, str]:
    """Return the type that each array has in the model, by its name there."""
    types = {}
    for key in keys:
        name, between, dtype = key.rpartition(_BETWEEN)
        if not between or dtype not in DTYPES or name in types:
            raise ParametersError(f"array {key!r} is none of a model that travels narrow")
        types[name] = dtype
    return types
