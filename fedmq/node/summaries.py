"""Summaries: what may be told of a dataset, from what was found in it. Pure.

A number of cases is told where both those that are counted and those that are not are none, or as
many as `least_cell`: who knows of 40 cases that 39 have a CT knows of one that has none.
"""

from collections.abc import Collection
from typing import Final

from pydantic import BaseModel, ConfigDict

from fedmq.messages.data import DatasetSummary, ModalitySummary
from fedmq.messages.fields import DictionaryReference
from fedmq.node.policy import LEAST_CELL

_DIGITS: Final = 1
"""Of a spacing in mm: more would tell one scanner from another of its kind."""

Triple = tuple[float, float, float]


class Findings(BaseModel):
    """What was found in a dataset, exactly; it stays at the site."""

    model_config = ConfigDict(frozen=True)

    num_cases: int
    num_with: dict[str, int]
    """By modality."""
    spacing_mm: dict[str, tuple[Triple, Triple]]
    """The smallest and the largest along each axis, by modality; none where it is not known."""

    def without(self, modalities: Collection[str]) -> "Findings":
        """Return what is left when a case that had these is withdrawn.

        No ranges: which of their ends were its own only a check can tell.
        """
        return Findings(
            num_cases=max(0, self.num_cases - 1),
            num_with={one: number - (one in modalities) for one, number in self.num_with.items()},
            spacing_mm={},
        )


def summarise(
    dataset: str,
    found: Findings,
    dictionary: DictionaryReference | None,
    *,
    least_cell: int = LEAST_CELL,
) -> DatasetSummary:
    """Return what others may know of a dataset."""
    return DatasetSummary(
        dataset=dataset,
        num_cases=found.num_cases if found.num_cases >= least_cell else None,
        least_cell=least_cell,
        modalities=[
            _modality(modality, found, least_cell=least_cell) for modality in sorted(found.num_with)
        ],
        dictionary=dictionary,
    )


def _modality(modality: str, found: Findings, *, least_cell: int) -> ModalitySummary:
    num_with = found.num_with[modality]
    num_without = found.num_cases - num_with
    is_told = num_with >= least_cell and (num_without == 0 or num_without >= least_cell)
    ends = found.spacing_mm.get(modality) if is_told else None
    return ModalitySummary(
        modality=modality,
        num_cases=num_with if is_told else None,
        least_mm=None if ends is None else _rounded(ends[0]),
        most_mm=None if ends is None else _rounded(ends[1]),
    )


def _rounded(spacing: Triple) -> list[float]:
    return [round(one, _DIGITS) for one in spacing]
