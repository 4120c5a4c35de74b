"""Folds the updates of a round from their files into the file of the next model, slice by slice.

Whoever answered first, the nodes are taken in the order of their names, so the result does not
depend on arrival; memory is a slice per node, whatever the size of the model. Files are read with
`pread`, never mapped: mapped pages would count as the orchestrator's memory.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from fedmq.errors import ParametersError
from fedmq.orchestrator.aggregation.aggregator import Aggregator, Slice
from fedmq.parameters import Layout, Tensor, blocks, header_bytes, header_length, read_layout
from fedmq.types import NodeId

BLOCK_ITEMS: Final = 256 * 1024
"""2 MiB of float64 for each node: as fast as any larger block, and small in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One node's update on disk, and the cases that it speaks for."""

    path: Path
    num_cases: int


def fold_updates(
    reference: Path,
    contributions: Mapping[NodeId, Contribution],
    target: Path,
    aggregator: Aggregator,
) -> None:
    """Write to `target` the parameters that `aggregator` makes; whole or not at all, on the disk.

    Raises:
        ParametersError: an update has other arrays than the reference, or there is none.
    """
    if not contributions:
        raise ParametersError("there is no update to fold")
    names = sorted(contributions)
    weights = [float(contributions[name].num_cases) for name in names]
    partial = target.with_name(target.name + ".part")
    with ExitStack() as stack:
        source = stack.enter_context(reference.open("rb"))
        layout = file_layout(source)
        updates = [stack.enter_context(contributions[name].path.open("rb")) for name in names]
        for name, update in zip(names, updates, strict=True):
            _require_same_layout(file_layout(update), layout, name)
        out = stack.enter_context(partial.open("wb"))
        out.write(header_bytes(layout))
        for tensor in layout.tensors:
            _fold_tensor(tensor, source, updates, weights, aggregator, out)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(target)


def file_layout(file: BinaryIO) -> Layout:
    """Return the layout of an open parameters file, reading its header only.

    Raises:
        ParametersError: it is no parameters file.
    """
    descriptor = file.fileno()
    start = os.pread(descriptor, 8, 0)
    head = os.pread(descriptor, 8 + header_length(start), 0)
    return read_layout(head, os.fstat(descriptor).st_size)


def _require_same_layout(found: Layout, expected: Layout, node: NodeId) -> None:
    if found != expected:
        raise ParametersError(f"the update of {node} has other arrays than the model it was asked")


def _fold_tensor(
    tensor: Tensor,
    source: BinaryIO,
    updates: Sequence[BinaryIO],
    weights: Sequence[float],
    aggregator: Aggregator,
    out: BinaryIO,
) -> None:
    num_items = tensor.size_bytes // tensor.numpy_dtype.itemsize
    for start, length in blocks(num_items, BLOCK_ITEMS):
        folded = aggregator.fold(
            _read_slice(source, tensor, start, length),
            [_read_slice(update, tensor, start, length) for update in updates],
            weights,
        )
        out.write(_cast(folded, tensor).data)


def _read_slice(file: BinaryIO, tensor: Tensor, start: int, length: int) -> Slice:
    """Return `length` numbers of a tensor from its `start`-th on, as float64."""
    item_bytes = tensor.numpy_dtype.itemsize
    raw = os.pread(file.fileno(), length * item_bytes, tensor.begin + start * item_bytes)
    if tensor.dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        widened = np.frombuffer(raw, "<u2").astype("<u4") << 16
        return widened.view("<f4").astype(np.float64)
    return np.frombuffer(raw, tensor.numpy_dtype).astype(np.float64)


def _cast(numbers: Slice, tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Return `numbers` in the tensor's type: integers to the nearest, bfloat16 to even."""
    if tensor.dtype == "BF16":
        bits = numbers.astype("<f4").view("<u4")
        rounded: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = (
            (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        ).astype("<u2")
        return rounded
    if tensor.is_floating:
        return numbers.astype(tensor.numpy_dtype)
    return np.rint(numbers).astype(tensor.numpy_dtype)
