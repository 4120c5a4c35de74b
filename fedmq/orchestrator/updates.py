"""Updates that came: are they what the model declares, and are they numbers?"""

import os
from pathlib import Path
from typing import Final

import numpy as np

from fedmq.errors import ParametersError
from fedmq.orchestrator.aggregation.folding import file_layout
from fedmq.parameters import blocks

MISSHAPEN: Final = "update_misshapen"
NOT_FINITE: Final = "update_not_finite"
_BLOCK_BYTES: Final = 4 * 2**20


def find_fault(update: Path, reference: Path) -> str | None:
    """Return why an update cannot be folded into the model it was asked for, None if it can.

    The file is read block by block: memory does not grow with the model.
    """
    with update.open("rb") as file, reference.open("rb") as model:
        try:
            layout = file_layout(file)
            if layout != file_layout(model):
                return MISSHAPEN
        except ParametersError:
            return MISSHAPEN
        for tensor in layout.tensors:
            if not tensor.is_floating:
                continue
            for offset, length in blocks(tensor.size_bytes, _BLOCK_BYTES):
                raw = os.pread(file.fileno(), length, tensor.begin + offset)
                if not _is_finite(raw, tensor.dtype, tensor.numpy_dtype):
                    return NOT_FINITE
    return None


def _is_finite(raw: bytes, name: str, dtype: np.dtype[np.generic]) -> bool:
    numbers = np.frombuffer(raw, dtype)
    if name == "BF16":
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    return bool(np.isfinite(numbers).all())
