"""Choosing: which series of a study are the case's PET and CT. Never a guess."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.elements import texts
from fedmq.imaging.dicom.series import Series, stack
from fedmq.imaging.dicom.stacks import Stack

_MIN_COVER: Final = 0.8
"""Of the PET's length: a CT that shows less of the patient is another examination."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """One series that is taken."""

    series: Series
    grid: Stack


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What is taken of one modality, and why not the others."""

    taken: Chosen | None
    left_out: tuple[tuple[Series, str], ...] = ()
    """Series, and in words of this module what it is."""


def choose_pet(series: Sequence[Series], pattern: str) -> Choice:
    """Return the one PET that is corrected for attenuation.

    Raises:
        DatasetError: code several_series, series_not_found, or what is wrong with the only one.
    """
    candidates, left_out = _matching(series, pattern, "PET")
    corrected = [one for one in candidates if "ATTN" in texts(one.head, "CorrectedImage")]
    if corrected:  # else the SUV say why not
        left_out += [
            (one, "PET without attenuation correction")
            for one in candidates
            if one not in corrected
        ]
        candidates = corrected
    return _only(candidates, left_out, lambda _: True, "PET")


def choose_ct(series: Sequence[Series], pattern: str, pet: Chosen | None) -> Choice:
    """Return the one CT; beside a PET that of the same frame of reference, as long as the PET.

    Raises:
        DatasetError: as `choose_pet`.
    """
    candidates, left_out = _matching(series, pattern, "CT")
    if pet is None:
        return _only(candidates, left_out, lambda _: True, "CT")
    near = [one for one in candidates if one.frame_of_reference == pet.series.frame_of_reference]
    left_out += [(one, "CT in another frame of reference") for one in candidates if one not in near]
    return _only(near, left_out, lambda grid: _cover(grid, pet.grid) >= _MIN_COVER, "CT")


def _matching(
    series: Sequence[Series], pattern: str, modality: str
) -> tuple[list[Series], list[tuple[Series, str]]]:
    if not pattern:
        return list(series), []
    matching = [one for one in series if fnmatchcase(one.description.lower(), pattern.lower())]
    if series and not matching:
        raise DatasetError(
            f"no {modality} series is as asked for",
            code="series_not_found",
            why=f"it has {len(series)} {modality} series, and no description matches the pattern",
            fix="mend the pattern, or leave the case out",
        )
    others = [(one, f"{modality} series not asked for") for one in series if one not in matching]
    return matching, others


def _only(
    candidates: Sequence[Series],
    left_out: list[tuple[Series, str]],
    fits: Callable[[Stack], bool],
    modality: str,
) -> Choice:
    """Return the only candidate; of several the only one that makes a volume and fits."""
    if not candidates:
        return Choice(taken=None, left_out=tuple(left_out))
    if len(candidates) == 1:
        (one,) = candidates
        return Choice(taken=Chosen(series=one, grid=stack(one)), left_out=tuple(left_out))
    usable: list[Chosen] = []
    for one in candidates:
        try:
            grid = stack(one)
        except DatasetError as error:
            left_out.append((one, f"{modality} series that makes no volume ({error.code})"))
            continue
        if fits(grid):
            usable.append(Chosen(series=one, grid=grid))
        else:
            left_out.append((one, f"{modality} series that covers less than the PET"))
    if len(usable) == 1:
        return Choice(taken=usable[0], left_out=tuple(left_out))
    told = ", ".join(f"number {one.series.number} of {one.grid.shape[2]} slices" for one in usable)
    raise DatasetError(
        f"the study has several {modality} series",
        code="several_series",
        why=f"any of them may be meant: {told}" if told else "none of them makes a volume",
        fix=f"say which by its description: --{modality.lower()}-series PATTERN",
    )


def _cover(grid: Stack, pet: Stack) -> float:
    """Return which share of the PET's length, along its own axis, another volume has."""
    low, high = _extent(pet, pet)
    other_low, other_high = _extent(grid, pet)
    return (min(high, other_high) - max(low, other_low)) / (high - low)


def _extent(grid: Stack, along: Stack) -> tuple[float, float]:
    axis = along.affine[:3, 2] / np.linalg.norm(along.affine[:3, 2])
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.array(grid.shape) - 0.5
    depths = (corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]) @ axis
    return float(depths.min()), float(depths.max())
