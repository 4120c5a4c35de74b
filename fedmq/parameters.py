"""A model's named arrays, and their bytes: the safetensors format, written in one order only.

Equal parameters have equal bytes: tensors stand by descending item size, then by name (the order in
which the safetensors library writes them), without `__metadata__` and without gaps. A file's layout
can be read alone, so that a fold reads the same slice of many files without loading one of them.

Format: https://github.com/huggingface/safetensors, section Format. numpy has no bfloat16: such
an array holds raw bits under a type of their own, `BFLOAT16`, with which numpy refuses to count.
"""

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import ParametersError

Array = NDArray[np.generic]
Parameters = Mapping[str, Array]

BFLOAT16: Final[np.dtype[np.generic]] = np.dtype([("bfloat16", "<u2")])
"""The bits of bfloat16 numbers, the upper halves of float32; `array["bfloat16"]` are the bits."""
_QUIET_NAN: Final = np.uint16(0x7FC0)
_INFINITY: Final = np.uint16(0x7F80)
"""The bits of the exponent: all of them are set in infinities and NaN, and in no number."""

DTYPES: Final[dict[str, np.dtype[np.generic]]] = {
    "BOOL": np.dtype("?"),
    "I8": np.dtype("<i1"),
    "U8": np.dtype("<u1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""By the names of the format; all little-endian."""
_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
# The order of the safetensors library: its own ranking of types, widest first.
_RANK: Final = {
    name: rank
    for rank, name in enumerate(
        ["U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "I8", "U8", "BOOL"]
    )
}
MAX_HEADER_BYTES: Final = 4 * 2**20
MAX_TENSORS: Final = 100_000
_LENGTH_BYTES: Final = 8
"""The header's length stands first, in so many bytes."""


class Shaped(Protocol):
    """What has a shape: an array, or a tensor in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        ...


class Readable(Protocol):
    """A file that is read piece by piece."""

    @property
    def size_bytes(self) -> int:
        """Its length."""
        ...

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return up to `size_bytes` from `offset` on; less where it ends before."""
        ...


class Writable(Protocol):
    """A file that is written from its beginning."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Write `data` behind what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One named array in a file: where its bytes stand and what they are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    """Offset of the first byte from the start of the file."""
    size_bytes: int

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The little-endian numpy type of the bytes; of bfloat16 it is `BFLOAT16`."""
        return DTYPES[self.dtype]

    @property
    def num_items(self) -> int:
        """How many numbers the array has."""
        return self.size_bytes // self.numpy_dtype.itemsize

    @property
    def is_floating(self) -> bool:
        """Whether the numbers are floating point."""
        return self.dtype in {"F16", "BF16", "F32", "F64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The table of contents of a parameters file."""

    tensors: tuple[Tensor, ...]
    size_bytes: int
    """Of the whole file, header included."""


def write_parameters(parameters: Parameters, file: Writable) -> Layout:
    """Write `parameters` to `file` without copying an array that is contiguous; return the layout.

    Raises:
        ParametersError: an array has a type that does not travel (complex, object, text).
    """
    layout, header = plan_layout(
        {name: (_type_name(name, array), array.shape) for name, array in parameters.items()}
    )
    file.write(header)
    for tensor in layout.tensors:
        array = np.ascontiguousarray(parameters[tensor.name], dtype=tensor.numpy_dtype)
        file.write(array.reshape(-1).view(np.uint8).data)
    return layout


def parameters_bytes(parameters: Parameters) -> bytes:
    """Return `parameters` as the bytes of a file."""
    buffer = io.BytesIO()
    write_parameters(parameters, buffer)
    return buffer.getvalue()


def plan_layout(
    declared: Mapping[str, tuple[str, tuple[int, ...]]],
) -> tuple[Layout, bytes]:
    """Return the one layout of arrays with these types and shapes, and its header.

    Raises:
        ParametersError: there are too many of them.
    """
    table: dict[str, dict[str, object]] = {}
    position = 0
    for name in sorted(declared, key=lambda name: (_RANK[declared[name][0]], name)):
        dtype, shape = declared[name]
        end = position + math.prod(shape) * DTYPES[dtype].itemsize
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return read_layout(header, len(header) + position), header


def header_bytes(layout: Layout) -> bytes:
    """Return the header of a file with this layout, so that its tensors can be written alone."""
    return plan_layout({tensor.name: (tensor.dtype, tensor.shape) for tensor in layout.tensors})[1]


def read_layout(head: bytes | memoryview, size_bytes: int) -> Layout:
    """Return the layout of a file of `size_bytes` that begins with `head`.

    Raises:
        ParametersError: not the header of a file of named arrays, or it does not fit its size.
    """
    length = header_length(head)
    if _LENGTH_BYTES + length > len(head):
        raise ParametersError("the header of the parameters is cut off")
    try:
        table = json.loads(bytes(head[_LENGTH_BYTES : _LENGTH_BYTES + length]))
    except (ValueError, RecursionError) as error:
        raise ParametersError("the header of the parameters is not JSON") from error
    if not isinstance(table, dict) or len(table) > MAX_TENSORS:
        raise ParametersError("the header of the parameters is not a table of arrays")
    table.pop("__metadata__", None)
    tensors = sorted(
        (_parse_tensor(name, entry, _LENGTH_BYTES + length) for name, entry in table.items()),
        key=lambda tensor: (tensor.begin, tensor.size_bytes),
    )
    position = _LENGTH_BYTES + length
    for tensor in tensors:
        if tensor.begin != position:
            raise ParametersError(f"array {tensor.name!r} leaves a gap or overlaps another")
        position += tensor.size_bytes
    if position != size_bytes:
        raise ParametersError(f"the arrays take {position} bytes, the file has {size_bytes}")
    return Layout(tensors=tuple(tensors), size_bytes=size_bytes)


def header_length(head: bytes | memoryview) -> int:
    """Return the length of the JSON header, from the first eight bytes of a file.

    Raises:
        ParametersError: shorter than eight bytes, or a length beyond the limit.
    """
    if len(head) < _LENGTH_BYTES:
        raise ParametersError("the parameters are shorter than their header")
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise ParametersError(f"the header claims {length} bytes, the limit is {MAX_HEADER_BYTES}")
    return length


def file_layout(file: Readable) -> Layout:
    """Return the layout of a parameters file, reading its header only.

    Raises:
        ParametersError: it is no parameters file.
    """
    length = header_length(file.read(0, _LENGTH_BYTES))
    head = file.read(0, _LENGTH_BYTES + length)
    return read_layout(head, file.size_bytes)


def read_slice(file: Readable, tensor: Tensor, start: int, length: int) -> Array:
    """Return `length` numbers of a tensor from its `start`-th on, shape (length,).

    Raises:
        ParametersError: the file became shorter since its layout was read.
    """
    item_bytes = tensor.numpy_dtype.itemsize
    raw = file.read(tensor.begin + start * item_bytes, length * item_bytes)
    if len(raw) != length * item_bytes:
        raise ParametersError(f"the file ends within array {tensor.name!r}")
    return np.frombuffer(raw, tensor.numpy_dtype)


def read_parameters(data: bytes | memoryview) -> dict[str, Array]:
    """Return the arrays in `data`, as read-only views of it.

    Raises:
        ParametersError: the bytes are not a parameters file.
    """
    view = memoryview(data)
    layout = read_layout(view, len(view))
    return {
        tensor.name: np.frombuffer(
            view[tensor.begin : tensor.begin + tensor.size_bytes], dtype=tensor.numpy_dtype
        ).reshape(tensor.shape)
        for tensor in layout.tensors
    }


def load_parameters(path: Path) -> dict[str, Array]:
    """Return the arrays in the file at `path`, memory-mapped and read-only.

    Raises:
        ParametersError: the file is not a parameters file.
    """
    if path.stat().st_size == 0:
        raise ParametersError("the parameters file is empty")
    return read_parameters(np.memmap(path, dtype=np.uint8, mode="r").data)


def save_parameters(parameters: Parameters, path: Path) -> Layout:
    """Write `parameters` to a new file at `path`, whole or not at all."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        layout = write_parameters(parameters, file)
    partial.replace(path)
    return layout


def subtract_array(after: Array, before: Array) -> Array:
    """Return `after - before`, both of one type and shape; bfloat16 rounded as in `cast_array`."""
    # Booleans have no difference; the exclusive or of them is undone by itself.
    operation = np.logical_xor if before.dtype == np.bool_ else np.subtract
    return cast_array(operation(widen_bfloat16(after), widen_bfloat16(before)), before.dtype)


def require_same_shapes(found: Mapping[str, Shaped], expected: Mapping[str, Shaped]) -> None:
    """Return if both have the same names and shapes.

    Raises:
        ParametersError: they differ; the text names the first difference.
    """
    missing = sorted(expected.keys() - found.keys())
    surplus = sorted(found.keys() - expected.keys())
    if missing or surplus:
        raise ParametersError(
            f"{len(found)} arrays came, {len(expected)} are declared",
            why=f"missing {missing[:3]}, unknown {surplus[:3]}",
        )
    for name in sorted(expected):
        if found[name].shape != expected[name].shape:
            raise ParametersError(
                f"array {name!r} has shape {found[name].shape}, declared {expected[name].shape}"
            )


def first_nonfinite(parameters: Parameters) -> str | None:
    """Return the name of the first array that holds NaN or infinity, or None."""
    for name in sorted(parameters):
        if not is_finite(parameters[name]):
            return name
    return None


def is_finite(array: Array) -> bool:
    """Return whether no number is NaN or infinite; integers never are."""
    if array.dtype == BFLOAT16:
        sizes = array.view("<u2") & _INFINITY
        return int(sizes.max(initial=0)) < int(_INFINITY)
    return not np.issubdtype(array.dtype, np.floating) or bool(np.isfinite(array).all())


def widen_bfloat16(array: Array) -> Array:
    """Return bfloat16 as the float32 numbers that it stands for, exactly; others as they are."""
    if array.dtype != BFLOAT16:
        return array
    bits = array.view("<u2").astype("<u4")
    bits <<= 16
    return bits.view("<f4")


def cast_array(array: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return the numbers of `array` in `dtype`.

    bfloat16 is rounded to the nearest, halves to even, by way of float32 (as torch does); what is
    beyond its range is infinite, and NaN stays NaN.
    """
    numbers = widen_bfloat16(array)
    if dtype != BFLOAT16:
        return numbers.astype(dtype, copy=False)
    if array.dtype == BFLOAT16:
        return array
    single = numbers.astype("<f4", copy=False)
    bits = single.view("<u4")
    # Half of the last place that stays, less one where that is even: a half alone carries to even.
    # In place: this is done for every number of every update that travels as bfloat16.
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    upper = rounded.astype("<u2")
    is_nan = np.isnan(single)
    if is_nan.any():
        upper[is_nan] = _QUIET_NAN
    return upper.view(BFLOAT16)


def _type_name(name: str, array: Array) -> str:
    dtype = array.dtype.newbyteorder("<") if array.dtype.byteorder != "|" else array.dtype
    if dtype not in _NAMES:
        raise ParametersError(
            f"array {name!r} has type {array.dtype}, which does not travel",
            fix="use bool, an integer, float16, float32, float64 or fedmq.parameters.BFLOAT16",
        )
    return _NAMES[dtype]


def _parse_tensor(name: str, entry: object, base: int) -> Tensor:
    match entry:
        case {
            "dtype": str(dtype),
            "shape": list(shape),
            "data_offsets": [int(begin), int(end)],
        } if dtype in DTYPES and all(type(side) is int and side >= 0 for side in shape):
            size = math.prod(shape) * DTYPES[dtype].itemsize
            if end - begin == size and begin >= 0:
                return Tensor(
                    name=name, dtype=dtype, shape=tuple(shape), begin=base + begin, size_bytes=size
                )
        case {"dtype": str(dtype)} if dtype not in DTYPES:
            raise ParametersError(f"array {name!r} has type {dtype}, which does not travel")
        case _:
            pass
    raise ParametersError(f"array {name!r} is not described as the format asks")


def blocks(size: int, block: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of consecutive pieces of at most `block` that cover `size`."""
    for offset in range(0, size, block):
        yield offset, min(block, size - offset)
