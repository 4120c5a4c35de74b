"""Presence: which modalities each case has, which of them a step of training does without, counts.

Arrays have shape (n, modalities), bool, true where a case has the modality.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.cases import Case
from fedmq.learning.plan import Ratio

Presence = NDArray[np.bool_]


def find_presence(cases: Sequence[Case], names: Sequence[str]) -> Presence:
    """Return which of the modalities `names` each case has."""
    found = [[name in case.volumes for name in names] for case in cases]
    return np.array(found, dtype=np.bool_).reshape(len(cases), len(names))


def drop_modalities(presence: Presence, rate: float, rng: np.random.Generator) -> Presence:
    """Return the presence with one modality less in a share `rate` of the cases that have several.

    Each of a case's modalities is as likely to go, and each case keeps at least one. As many
    numbers are drawn whatever is there: what one case lacks does not change what another one loses.
    After Neverova et al. 2016, ModDrop, IEEE TPAMI 38:1692-1706.
    """
    is_struck = (rng.random(len(presence)) < rate) & (presence.sum(axis=1) > 1)
    # What is absent is never the first.
    lots = np.where(presence, rng.random(presence.shape), np.inf)
    kept = presence.copy()
    kept[is_struck, lots.argmin(axis=1)[is_struck]] = False
    return kept


def count_present(presence: Presence, names: Sequence[str]) -> dict[str, Ratio]:
    """Return how many cases have each modality, of all: `with_pet`, `with_ct`."""
    counts = presence.sum(axis=0).tolist()
    return {
        f"with_{name.lower()}": Ratio(numerator=float(count), denominator=float(len(presence)))
        for name, count in zip(names, counts, strict=True)
    }
