"""Folds the updates of a round from their files into the file of the next model, slice by slice.

Whoever answered first, the nodes are taken in the order of their names, so the result does not
depend on arrival; memory is a slice per node, the shorter the more nodes there are, so that it is
bounded whatever the size of the model and the number of nodes. Files are read piece by piece, never
mapped: mapped pages would count as the orchestrator's memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedmq.encodings.kinds import EXACT, Encoding
from fedmq.encodings.reader import EncodedUpdate
from fedmq.errors import ParametersError
from fedmq.orchestrator.aggregation.aggregator import Aggregator, Slice
from fedmq.parameters import (
    Layout,
    Readable,
    Tensor,
    Writable,
    blocks,
    cast_array,
    file_layout,
    header_bytes,
    read_slice,
    widen_bfloat16,
)
from fedmq.types import NodeId

BLOCK_ITEMS: Final = 64 * 1024
"""512 KiB of float64 for each node: what is counted with stays in the processor's own memory, and
a fold takes less than half the time that it takes with 2 MiB."""
ALL_ITEMS: Final = 8 * 2**20
"""64 MiB of float64 for all nodes together: what many nodes share."""
_LEAST_ITEMS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One node's update, and the cases that it speaks for."""

    update: Readable
    num_cases: int


def block_items(num_updates: int) -> int:
    """Return of how many numbers the slices are that are in memory at a time, one of each update.

    Each number is folded by itself: what becomes of it does not depend on its slice.
    """
    # Beside them the reference and the result.
    return max(_LEAST_ITEMS, min(BLOCK_ITEMS, ALL_ITEMS // (num_updates + 2)))


def fold_updates(
    reference: Readable,
    contributions: Mapping[NodeId, Contribution],
    target: Writable,
    aggregator: Aggregator,
    encoding: Encoding = EXACT,
) -> None:
    """Write to `target` the parameters that `aggregator` makes of updates in this encoding.

    Raises:
        ParametersError: an update has other arrays than the reference, or there is none; nothing
            is written.
    """
    if not contributions:
        raise ParametersError("there is no update to fold")
    names = sorted(contributions)
    weights = [float(contributions[name].num_cases) for name in names]
    layout = file_layout(reference)
    updates = [_open(contributions[name].update, layout, encoding, name) for name in names]
    target.write(header_bytes(layout))
    for tensor in layout.tensors:
        _fold_tensor(tensor, reference, updates, weights, aggregator, target)


def _open(update: Readable, model: Layout, encoding: Encoding, node: NodeId) -> EncodedUpdate:
    try:
        return EncodedUpdate(update, model, encoding)
    except ParametersError as error:
        raise ParametersError(f"the update of {node} cannot be folded", why=str(error)) from error


def _fold_tensor(
    tensor: Tensor,
    source: Readable,
    updates: Sequence[EncodedUpdate],
    weights: Sequence[float],
    aggregator: Aggregator,
    out: Writable,
) -> None:
    for start, length in blocks(tensor.num_items, block_items(len(updates))):
        folded = aggregator.fold(
            _read_numbers(source, tensor, start, length),
            [update.read(tensor, start, length) for update in updates],
            weights,
        )
        # Integers go to the nearest; numpy alone would cut them off.
        numbers = folded if tensor.is_floating else np.rint(folded)
        out.write(cast_array(numbers, tensor.numpy_dtype).data)


def _read_numbers(file: Readable, tensor: Tensor, start: int, length: int) -> Slice:
    """Return `length` numbers of a tensor from its `start`-th on, as float64."""
    return widen_bfloat16(read_slice(file, tensor, start, length)).astype(np.float64)
