"""Summaries: what may be told of a dataset, from what was found in it. Pure.

A number of cases is told where both those that are counted and those that are not are none, or as
many as `least_cell`: who knows of 40 cases that 39 have a CT knows of one that has none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    least_mm: dict[str, Triple]
    """The smallest spacing along each axis, by modality."""
    most_mm: dict[str, Triple]


def find(num_cases: int, spacings: Mapping[str, Sequence[Triple]]) -> Findings:
    """Return what was found: the spacing of each volume that could be read, by modality."""
    known = {modality: found for modality, found in spacings.items() if found}
    return Findings(
        num_cases=num_cases,
        num_with={modality: len(found) for modality, found in known.items()},
        least_mm={modality: _along_axes(min, found) for modality, found in known.items()},
        most_mm={modality: _along_axes(max, found) for modality, found in known.items()},
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
    return ModalitySummary(
        modality=modality,
        num_cases=num_with if is_told else None,
        least_mm=_rounded(found.least_mm[modality]) if is_told else None,
        most_mm=_rounded(found.most_mm[modality]) if is_told else None,
    )


def _along_axes(choose: Callable[[Iterable[float]], float], found: Sequence[Triple]) -> Triple:
    x, y, z = (choose(axis) for axis in zip(*found, strict=True))
    return x, y, z


def _rounded(spacing: Triple) -> list[float]:
    return [round(one, _DIGITS) for one in spacing]
