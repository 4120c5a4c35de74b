"""The parameters file of an encoded update: which arrays stand for each array of the model. Pure.

`exact`, `bf16` and `fp16` have an array of the same name and shape. `int8` has `<name>/values`
(int8, of the array's shape) and `<name>/scales` (one for each 1024 numbers); `top-k` has
`<name>/indices` (uint16, within blocks of 65536 numbers, rising in each) and `<name>/values`. Every
name of these two gets an ending, so that no array of a model can be taken for a part of another.
Whole numbers, truth values and what is as small already travel as they are.
"""

import math
from collections.abc import Mapping
from typing import Final

from fedmq.encodings.kinds import Encoding, Kind
from fedmq.parameters import Layout, Tensor, plan_layout

INT8_BLOCK: Final = 1024
"""Numbers with one scale: 0.4 % more bytes than without any."""
TOP_K_BLOCK: Final = 65_536
"""Numbers among which the largest are chosen: an index among them takes two bytes."""
VALUES: Final = "/values"
SCALES: Final = "/scales"
INDICES: Final = "/indices"

_HALVES: Final = frozenset({"F16", "BF16"})
NARROW: Final[Mapping[Kind, str]] = {Kind.BF16: "BF16", Kind.FP16: "F16"}


def kind_of(tensor: Tensor, encoding: Encoding) -> Kind:
    """Return how one array of a model travels under an encoding."""
    return kind_of_model(tensor, encoding.kind)


def kind_of_model(tensor: Tensor, kind: Kind) -> Kind:
    """Return how one array of a model travels where all that can be are of a kind."""
    if not tensor.is_floating or (kind in NARROW and tensor.dtype in _HALVES):
        return Kind.EXACT
    return kind


def working_type(tensor: Tensor) -> str:
    """Return in which type the numbers of an array are encoded, and what is not sent is kept."""
    return "F64" if tensor.dtype == "F64" else "F32"


def values_name(tensor: Tensor, encoding: Encoding) -> str:
    """Return the name of the array that has the numbers of an array."""
    return tensor.name + VALUES if encoding.has_feedback else tensor.name


def num_chosen(num_items: int, share: float) -> int:
    """Return how many of a block's numbers are sent: of each block at least one."""
    return min(num_items, max(1, math.ceil(num_items * share))) if num_items else 0


def encoded_layout(model: Layout, encoding: Encoding) -> tuple[Layout, bytes]:
    """Return the one layout that updates of a model have under an encoding, and its header.

    Raises:
        ParametersError: it would have too many arrays.
    """
    declared: dict[str, tuple[str, tuple[int, ...]]] = {}
    for tensor in model.tensors:
        declared |= _parts(tensor, encoding)
    return plan_layout(declared)


def residual_layout(model: Layout) -> tuple[Layout, bytes]:
    """Return the layout of what was not sent of updates of a model, and its header."""
    return plan_layout(
        {one.name: (working_type(one), one.shape) for one in model.tensors if one.is_floating}
    )


def _parts(tensor: Tensor, encoding: Encoding) -> dict[str, tuple[str, tuple[int, ...]]]:
    values = values_name(tensor, encoding)
    match kind_of(tensor, encoding):
        case Kind.EXACT:
            return {values: (tensor.dtype, tensor.shape)}
        case Kind.BF16 | Kind.FP16 as narrow:
            return {values: (NARROW[narrow], tensor.shape)}
        case Kind.INT8:
            num_scales = -(-tensor.num_items // INT8_BLOCK)
            return {
                values: ("I8", tensor.shape),
                tensor.name + SCALES: (working_type(tensor), (num_scales,)),
            }
        case Kind.TOP_K:
            whole, rest = divmod(tensor.num_items, TOP_K_BLOCK)
            count = whole * num_chosen(TOP_K_BLOCK, encoding.share)
            count += num_chosen(rest, encoding.share)
            return {
                values: (working_type(tensor), (count,)),
                tensor.name + INDICES: ("U16", (count,)),
            }
