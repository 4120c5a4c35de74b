"""Choosing: which series of a study are the case's PET and CT. Never a guess."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.elements import texts
from fedmq.imaging.dicom.patterns import matches
from fedmq.imaging.dicom.series import Series, stack
from fedmq.imaging.dicom.stacks import Stack

_MIN_COVER: Final = 0.8
"""Of the PET's length: a CT that shows less of the patient is another examination."""
_MIN_ABREAST: Final = 0.5
"""Of the narrower one's width: a CT may be narrower than its PET, but does not lie beside it."""


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
    return _only(candidates, left_out, "PET")


def choose_ct(series: Sequence[Series], pattern: str, pet: Chosen | None) -> Choice:
    """Return the one CT; beside a PET that of the same frame of reference, as long as the PET.

    Raises:
        DatasetError: as `choose_pet`.
    """
    candidates, left_out = _matching(series, pattern, "CT")
    in_hu = [one for one in candidates if one.is_hounsfield]
    if in_hu or pet is not None:  # else its refusal says why
        left_out += [
            (one, "CT series that is no map of Hounsfield units")
            for one in candidates
            if one not in in_hu
        ]
        candidates = in_hu
    if pet is None:
        return _only(candidates, left_out, "CT")
    frame = pet.series.frame_of_reference
    fitting: list[Series] = []
    for one in candidates:
        if one.frame_of_reference != frame:
            left_out.append((one, "CT in another frame of reference"))
        elif isinstance(grid := _grid_or_code(one), Stack) and not _fits(grid, pet.grid):
            left_out.append((one, "CT series that covers less than the PET"))
        else:
            fitting.append(one)
    broken = {one.uid: code for one in fitting if isinstance(code := _grid_or_code(one), str)}
    if len(broken) < len(fitting):  # the others are as long as the PET: nothing is lost
        left_out += [
            (one, f"CT series that makes no volume ({broken[one.uid]})")
            for one in fitting
            if one.uid in broken
        ]
        fitting = [one for one in fitting if one.uid not in broken]
    return _only(fitting, left_out, "CT")


def _matching(
    series: Sequence[Series], pattern: str, modality: str
) -> tuple[list[Series], list[tuple[Series, str]]]:
    if not pattern:
        return list(series), []
    matching = [
        one for one in series if matches(one.description, pattern) or one.number == pattern.strip()
    ]
    if series and not matching:
        raise DatasetError(
            f"no {modality} series is as asked for",
            code="series_not_found",
            why=f"it has {len(series)} {modality} series, and the pattern is no description or"
            " number of one",
            fix="mend the pattern, or leave the case out",
        )
    others = [(one, f"{modality} series not asked for") for one in series if one not in matching]
    return matching, others


def _only(
    candidates: Sequence[Series], left_out: Sequence[tuple[Series, str]], modality: str
) -> Choice:
    """Return the only candidate; which of several is meant, nobody guesses."""
    if not candidates:
        return Choice(taken=None, left_out=tuple(left_out))
    if len(candidates) == 1:
        (one,) = candidates
        return Choice(taken=Chosen(series=one, grid=stack(one)), left_out=tuple(left_out))
    told = ", ".join(f"number {one.number} ({_told(one)})" for one in candidates)
    raise DatasetError(
        f"the study has several {modality} series",
        code="several_series",
        why=f"any of them may be meant: {told}",
        fix="say which by its description, or its number where descriptions are alike:"
        f" --{modality.lower()}-series PATTERN",
    )


def _told(series: Series) -> str:
    grid = _grid_or_code(series)
    return f"no volume: {grid}" if isinstance(grid, str) else f"{grid.shape[2]} slices"


def _grid_or_code(series: Series) -> Stack | str:
    try:
        return stack(series)
    except DatasetError as error:
        return error.code


def _fits(grid: Stack, pet: Stack) -> bool:
    """Return whether a volume is as long as the PET along its slices, and not beside it."""
    for axis, least in enumerate((_MIN_ABREAST, _MIN_ABREAST, _MIN_COVER)):
        direction = pet.affine[:3, axis] / np.linalg.norm(pet.affine[:3, axis])
        low, high = _extent(pet, direction)
        other_low, other_high = _extent(grid, direction)
        whole = high - low if least == _MIN_COVER else min(high - low, other_high - other_low)
        if min(high, other_high) - max(low, other_low) < least * whole:
            return False
    return True


def _extent(grid: Stack, direction: NDArray[np.float64]) -> tuple[float, float]:
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.array(grid.shape) - 0.5
    depths = (corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]) @ direction
    return float(depths.min()), float(depths.max())
