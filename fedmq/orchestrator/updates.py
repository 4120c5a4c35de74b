"""Updates that came: are they what the model declares, and are they numbers?"""

from pathlib import Path
from typing import BinaryIO, Final

from fedmq.errors import ParametersError
from fedmq.parameters import Tensor, blocks, file_layout, is_finite, read_slice

MISSHAPEN: Final = "update_misshapen"
NOT_FINITE: Final = "update_not_finite"
_BLOCK_BYTES: Final = 4 * 2**20


def find_fault(update: Path, reference: Path) -> str | None:
    """Return why an update cannot be folded into the model it was asked for, None if it can.

    The file is read block by block: memory does not grow with the model.
    """
    try:
        with update.open("rb") as file, reference.open("rb") as model:
            layout = file_layout(file)
            if layout != file_layout(model):
                return MISSHAPEN
            floating = [tensor for tensor in layout.tensors if tensor.is_floating]
            return None if all(_is_finite(file, tensor) for tensor in floating) else NOT_FINITE
    except ParametersError:
        return MISSHAPEN


def _is_finite(file: BinaryIO, tensor: Tensor) -> bool:
    block = _BLOCK_BYTES // tensor.numpy_dtype.itemsize
    return all(
        is_finite(read_slice(file, tensor, *piece)) for piece in blocks(tensor.num_items, block)
    )
