"""Clinical features: columns of the clinical table as numbers, and which of them are missing.

Centres and scales are fixed by the experiment, so that no site's means leave it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import ConfigurationError
from fedmq.imaging.cases import Case
from fedmq.learning.outcomes import read_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """How columns become features: a number less its centre, over its scale."""

    columns: tuple[str, ...]
    centres: tuple[float, ...]
    scales: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that each column has its centre and scale.

        Raises:
            ConfigurationError: the numbers of them differ.
        """
        if not len(self.columns) == len(self.centres) == len(self.scales):
            raise ConfigurationError(
                "features, centres and scales do not fit together",
                why=f"they have {len(self.columns)}, {len(self.centres)} and {len(self.scales)}",
                fix="give one centre and one scale for each feature",
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Features:
    """Both of shape (n, columns)."""

    values: NDArray[np.float64]
    """Scaled; 0, which is the centre, where a cell is missing."""
    presence: NDArray[np.bool_]


def read_features(cases: Sequence[Case], scaling: Scaling) -> Features:
    """Return the features of `cases`, in their order; a column that nobody has is missing.

    Raises:
        DatasetError: code bad_value.
    """
    cells = [[read_number(case, column) for column in scaling.columns] for case in cases]
    shape = (len(cases), len(scaling.columns))
    numbers = np.array(cells, dtype=np.float64).reshape(shape)  # None becomes NaN
    presence = ~np.isnan(numbers)
    scaled = (numbers - np.array(scaling.centres)) / np.array(scaling.scales)
    return Features(values=np.where(presence, scaled, 0.0), presence=presence)
