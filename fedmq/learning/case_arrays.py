"""Arrays of cases, preprocessed once and kept in memory while a plan lives."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import Shape, case_array, case_mask

Floats = NDArray[np.float32]


class CaseArrays:
    """Images and masks of one shape and spacing, by case id; files are read at first use."""

    def __init__(self, *, shape: Shape, spacing_mm: float) -> None:
        self._shape = shape
        self._spacing_mm = spacing_mm
        self._images: dict[str, Floats] = {}
        self._masks: dict[str, Floats] = {}

    def images(self, cases: Sequence[Case]) -> Floats:
        """Return PET and CT of `cases`, shape (n, 2, X, Y, Z), 0 to 1."""
        for case in cases:
            if case.case_id not in self._images:
                self._images[case.case_id] = case_array(
                    case, shape=self._shape, spacing_mm=self._spacing_mm
                )
        return np.stack([self._images[case.case_id] for case in cases])

    def masks(self, cases: Sequence[Case]) -> Floats:
        """Return the masks of `cases`, shape (n, 1, X, Y, Z), 0 and 1."""
        for case in cases:
            if case.case_id not in self._masks:
                self._masks[case.case_id] = case_mask(
                    case, shape=self._shape, spacing_mm=self._spacing_mm
                )
        return np.stack([self._masks[case.case_id][np.newaxis] for case in cases])


def cases_with(cases: Sequence[Case], modalities: Collection[str]) -> tuple[Case, ...]:
    """Return those of `cases` that have every one of `modalities`."""
    return tuple(case for case in cases if set(modalities) <= set(case.volumes))
