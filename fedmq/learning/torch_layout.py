"""Layout: how the numbers of a torch network and of its images lie in memory.

Another layout takes other kernels, and so gives other bits: it is a setting of a plan, signed with
the experiment, the same at every site and in every retry, never what a machine would like best.
"""

from typing import Final, Literal, TypeVar

import torch
from torch import nn

MemoryFormat = Literal["contiguous", "channels_last"]
"""channels_last: the numbers of a voxel lie side by side."""

Network = TypeVar("Network", bound=nn.Module)

_OF_TORCH: Final[dict[MemoryFormat, torch.memory_format]] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last_3d,
}


def lay_network(network: Network, memory_format: MemoryFormat) -> Network:
    """Return a network of 3-D convolutions with its arrays as they are to lie."""
    # The stubs of torch know no such argument.
    laid: Network = network.to(memory_format=_OF_TORCH[memory_format])  # type: ignore[call-overload]
    return laid


def lay_images(images: torch.Tensor, memory_format: MemoryFormat) -> torch.Tensor:
    """Return images, shape (n, channels, X, Y, Z), as they are to lie."""
    return images.contiguous(memory_format=_OF_TORCH[memory_format])
