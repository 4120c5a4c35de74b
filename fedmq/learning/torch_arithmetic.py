"""Arithmetic: in which numbers a torch network computes, and how they lie in memory.

Both change bits, so that both are settings of a plan: signed with the experiment, the same at every
site and in every retry, never what a machine offers. Parameters stay float32 in any case.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]
"""bf16: convolutions and products in bfloat16, what is summed and learned in float32. Faster where
a processor multiplies it (AMX, AVX512-BF16), slower elsewhere."""
MemoryFormat = Literal["contiguous", "channels_last"]
"""channels_last: the numbers of a voxel lie side by side."""

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """How one experiment computes."""

    precision: Precision = "fp32"
    memory_format: MemoryFormat = "contiguous"

    def lay(self, network: Network) -> Network:
        """Return a network of 3-D convolutions with its arrays as they are to lie."""
        # The stubs of torch know no such argument.
        laid: Network = network.to(memory_format=self._torch_format)  # type: ignore[call-overload]
        return laid

    def outputs(
        self, network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
    ) -> torch.Tensor:
        """Return what the network makes of images, shape (n, channels, X, Y, Z); float32."""
        laid = images.contiguous(memory_format=self._torch_format)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            return network(laid).float()

    @property
    def _torch_format(self) -> torch.memory_format:
        is_last = self.memory_format == "channels_last"
        return torch.channels_last_3d if is_last else torch.contiguous_format
