"""The port of an aggregator: one slice of every update in, the same slice of the next model out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Slice = NDArray[np.float64]
"""Shape (n,), float64: n consecutive numbers of one array."""


class Aggregator(Protocol):
    """A rule that needs only the same slice of every update at a time."""

    def fold(self, reference: Slice, updates: Sequence[Slice], weights: Sequence[float]) -> Slice:
        """Return the slice of the next parameters.

        Args:
            reference: the slice of the parameters that the updates were made from.
            updates: the slices of the updates, in the order of their nodes' names.
            weights: one for each update, positive.
        """
