"""Federated averaging: the mean of the updates, weighted by cases.

McMahan et al. 2017, Communication-efficient learning of deep networks from decentralized data,
algorithm 1, written on updates: w + sum(n_k * u_k) / sum(n_k).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedmq.orchestrator.aggregation.aggregator import Aggregator, Slice


@dataclass(frozen=True, slots=True)
class FedAvg(Aggregator):
    """One arithmetic: float64 products summed in the order of names, one division, one addition."""

    def fold(self, reference: Slice, updates: Sequence[Slice], weights: Sequence[float]) -> Slice:
        """Return reference + weighted mean of the updates, summed in the order given."""
        total = np.zeros_like(reference)
        for update, weight in zip(updates, weights, strict=True):
            total += update * weight
        total /= sum(weights)
        total += reference
        return total
