"""Updates that came: are they what the model declares, and are they numbers?"""

from typing import Final

from fedmq.errors import ParametersError
from fedmq.parameters import Readable, Tensor, blocks, file_layout, is_finite, read_slice

MISSHAPEN: Final = "update_misshapen"
NOT_FINITE: Final = "update_not_finite"
_BLOCK_BYTES: Final = 4 * 2**20


def find_fault(update: Readable, reference: Readable) -> str | None:
    """Return why an update cannot be folded into the model it was asked for, None if it can.

    The file is read block by block: memory does not grow with the model.
    """
    try:
        layout = file_layout(update)
        if layout != file_layout(reference):
            return MISSHAPEN
        floating = [tensor for tensor in layout.tensors if tensor.is_floating]
        return None if all(_is_finite(update, tensor) for tensor in floating) else NOT_FINITE
    except ParametersError:
        return MISSHAPEN


def _is_finite(file: Readable, tensor: Tensor) -> bool:
    block = _BLOCK_BYTES // tensor.numpy_dtype.itemsize
    return all(
        is_finite(read_slice(file, tensor, *piece)) for piece in blocks(tensor.num_items, block)
    )
