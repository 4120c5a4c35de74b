"""Updates: trained parameters minus the model that they came from, file to file, block by block.

Files are read piece by piece, never mapped: mapped pages would count as the node's memory, and a
file that gets shorter under a map would end the node.
"""

from typing import Final

import numpy as np

from fedmq.errors import ParametersError, StorageError, TrainingError
from fedmq.messages.fields import Manifest
from fedmq.messages.replies import FailureCode
from fedmq.node.storage import Storage
from fedmq.parameters import (
    Array,
    Layout,
    Readable,
    Tensor,
    Writable,
    blocks,
    file_layout,
    header_bytes,
    is_finite,
    read_layout,
    read_slice,
    require_same_shapes,
    subtract_array,
)
from fedmq.types import Digest

BLOCK_ITEMS: Final = 256 * 1024
"""1 MiB of float32 of each file: as fast as any larger block, and small in memory."""


class JobError(TrainingError):
    """A job gave nothing that can be sent, for the reason `code`; the rest is for the site."""

    def __init__(self, code: FailureCode, what: str) -> None:
        super().__init__(what)
        self.code = code


def make_update(name: str, reference: Digest, storage: Storage) -> Manifest:
    """Return the manifest of a task's update in the spool: trained parameters minus the reference.

    The trainer checked its own output; this checks it again, outside the plan's process.

    Raises:
        JobError: the output is not there, does not fit, or is not finite.
        StorageError: the disk refuses; the update can be made when it does not.
    """
    target = f"{name}.update"
    if not storage.has_output(name):
        raise JobError(FailureCode.INTERNAL, "the trained parameters are not there")
    try:
        output, model = storage.output(name), storage.spool.file(reference)
        _write_update(output, model, storage.spool.new_file(target))
        return storage.spool.adopt(target)
    except ParametersError as error:
        storage.discard(target)
        raise JobError(FailureCode.UPDATE_MISSHAPEN, str(error)) from error
    except (JobError, StorageError):
        storage.discard(target)
        raise


def _write_update(trained: Readable, model: Readable, out: Writable) -> None:
    """Write the numbers of `trained` minus those of `model`."""
    local, before = _by_name(file_layout(trained)), _by_name(file_layout(model))
    _require_same_arrays(local, before)
    for tensor in _begin_file(out, before):
        tensors = (local[tensor.name], before[tensor.name])
        for piece in blocks(tensor.num_items, BLOCK_ITEMS):
            out.write(_subtract_slice(trained, model, tensors, piece).data)


def _by_name(layout: Layout) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in layout.tensors}


def _require_same_arrays(local: dict[str, Tensor], before: dict[str, Tensor]) -> None:
    require_same_shapes(local, before)
    for name in sorted(before):
        if local[name].dtype != before[name].dtype:
            raise ParametersError(
                f"array {name!r} has type {local[name].dtype}, declared {before[name].dtype}"
            )


def _begin_file(out: Writable, arrays: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Write the header of a file of these arrays; return them in the order that it names."""
    size_bytes = sum(tensor.size_bytes for tensor in arrays.values())
    header = header_bytes(Layout(tensors=tuple(arrays.values()), size_bytes=0))
    out.write(header)
    return read_layout(header, len(header) + size_bytes).tensors


def _subtract_slice(
    trained: Readable, model: Readable, tensors: tuple[Tensor, Tensor], piece: tuple[int, int]
) -> Array:
    after = read_slice(trained, tensors[0], *piece)
    before = read_slice(model, tensors[1], *piece)
    with np.errstate(over="ignore", invalid="ignore"):  # found by the next line, as is what came
        update = subtract_array(after, before)
    if not is_finite(update):
        what = f"array {tensors[0].name!r} holds NaN or infinity"
        raise JobError(FailureCode.UPDATE_NOT_FINITE, what)
    return update
