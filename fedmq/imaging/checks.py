"""Checks: what in a case would spoil the training, said before it starts."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.body_checks import check_gaps, check_marked, check_tissue
from fedmq.imaging.cases import Case
from fedmq.imaging.findings import Finding
from fedmq.imaging.upright import judge_upright
from fedmq.imaging.volumes import Volume, corners_mm

MIN_SUV_MAX: Final = 0.5
MAX_SUV_MAX: Final = 200.0
MAX_AIR_HU: Final = -500.0
"""A CT without a voxel below has lost its offset: air is -1000 HU."""
MIN_OVERLAP: Final = 0.5
"""Of the smaller box: a CT may be narrower than its PET, but both show one patient."""
MIN_COVER: Final = 0.8
"""Of the PET's length: what of it has no CT is told, since a plan sees air there."""
_DOUBTS: Final = frozenset({"short_ct", "mask_off_grid", "mask_shrinks"})
_MIN_DENSE_HU: Final = -100.0
_MAX_HU: Final = 40_000.0
_GRID_TOLERANCE: Final = 0.1
"""Of a voxel, at the corners: headers are rounded."""


def read_volumes(case: Case) -> tuple[Mapping[str, Volume], tuple[Finding, ...]]:
    """Return the volumes of `case` by modality, and why some of its files cannot be read."""
    volumes: dict[str, Volume] = {}
    found = []
    for modality in sorted(case.volumes):
        try:
            volumes[modality] = case.volume(modality)
        except DatasetError as error:
            found.append(
                Finding(case_id=case.case_id, code=error.code, text=str(error), spoils=(modality,))
            )
    return volumes, tuple(found)


def check_volumes(
    case: Case, volumes: Mapping[str, Volume], found_before: Sequence[Finding] = ()
) -> tuple[Finding, ...]:
    """Return what is wrong with volumes that could be read, behind what was found before."""
    pet, ct, mask = (volumes.get(modality) for modality in ("PET", "CT", "MASK"))
    found: list[tuple[str, str, tuple[str, ...]]] = []
    if pet is not None:
        found += _check_pet(pet, mask)
    if ct is not None:
        found += [(*one, ("CT",)) for one in _check_densities(ct) or check_tissue(ct)]
        found += [(*one, ()) for one in check_gaps("CT", ct)]
    if pet is not None and ct is not None:
        found += [(*one, ("PET", "CT")) for one in _check_overlap(pet, ct)]
    if mask is not None and not mask.array.any():
        found.append(("empty_mask", "the mask marks no voxel", ()))
    codes = {code for code, _, _ in found}
    if pet is not None and ct is not None and "wrong_affine" not in codes:  # that says more
        found += [(*one, ()) for one in _check_cover(pet, ct)]
    if pet is not None and mask is not None and "mask_outside_body" not in codes:  # so does that
        found += [(*one, ()) for one in _check_grid(mask, pet, ct)]
    faults = [
        Finding(case_id=case.case_id, code=code, text=text, spoils=spoils, is_doubt=code in _DOUBTS)
        for code, text, spoils in found
    ]
    upright = judge_upright(pet, ct)
    if upright is not None:
        faults.append(
            Finding(
                case_id=case.case_id,
                code=upright.code,
                text=upright.text,
                is_doubt=not upright.is_sure,
            )
        )
    return *found_before, *faults


def _check_pet(pet: Volume, mask: Volume | None) -> list[tuple[str, str, tuple[str, ...]]]:
    uptake = _check_uptake(pet)
    # Where the scale is wrong, nothing is learnt from what of it lies in the body.
    marked = check_marked(mask, pet) if mask is not None and not uptake else []
    return [(*one, ("PET",)) for one in uptake] + [
        (*one, ()) for one in check_gaps("PET", pet) + marked
    ]


def _check_uptake(pet: Volume) -> list[tuple[str, str]]:
    suv_max = float(pet.array.max())
    if MIN_SUV_MAX <= suv_max <= MAX_SUV_MAX:
        return []
    text = (
        f"the PET's highest value is {suv_max:.4g}; an SUV from {MIN_SUV_MAX:g} to "
        f"{MAX_SUV_MAX:g} is plausible: is it in Bq/ml, or empty?"
    )
    return [("implausible_suv", text)]


def _check_densities(ct: Volume) -> list[tuple[str, str]]:
    low, high = float(ct.array.min()), float(ct.array.max())
    found = []
    if low > MAX_AIR_HU:
        text = f"the CT's lowest value is {low:.4g} HU; air is -1000: is the rescale offset lost?"
        found.append(("ct_without_air", text))
    if high < _MIN_DENSE_HU or high > _MAX_HU:
        text = f"the CT's highest value is {high:.4g} HU; soft tissue is 0 to 100, metal 20000"
        found.append(("implausible_hu", text))
    return found


def _check_overlap(pet: Volume, ct: Volume) -> list[tuple[str, str]]:
    (pet_low, pet_high), (ct_low, ct_high) = _box(pet), _box(ct)
    common = np.clip(np.minimum(pet_high, ct_high) - np.maximum(pet_low, ct_low), 0.0, None)
    smaller = min(np.prod(pet_high - pet_low), np.prod(ct_high - ct_low))
    share = float(np.prod(common) / smaller)
    if share >= MIN_OVERLAP:
        return []
    text = f"PET and CT share {share:.0%} of the smaller box: one of the two affines is wrong"
    return [("wrong_affine", text)]


def _check_cover(pet: Volume, ct: Volume) -> list[tuple[str, str]]:
    """Return a doubt where the CT lacks much of the PET's length from feet to head."""
    (pet_low, pet_high), (ct_low, ct_high) = (np.stack(_box(one))[:, 2] for one in (pet, ct))
    common = min(pet_high, ct_high) - max(pet_low, ct_low)
    cover = max(0.0, float(common / (pet_high - pet_low)))
    if cover >= MIN_COVER:
        return []
    text = f"the CT covers {cover:.0%} of the PET's length: is it another examination's?"
    return [("short_ct", text)]


def _check_grid(mask: Volume, pet: Volume, ct: Volume | None) -> list[tuple[str, str]]:
    """Return a doubt where the mask is on the grid of neither image: of which was it drawn?"""
    if any(_is_same_grid(mask, image) for image in (pet, ct) if image is not None):
        return []
    of_whom = "not the PET's" if ct is None else "neither the PET's nor the CT's"
    text = (
        f"the mask's grid is {of_whom}: {mask.array.shape} voxels against {pet.array.shape} of "
        "the PET, or another place"
    )
    return [("mask_off_grid", text)]


def _is_same_grid(one: Volume, other: Volume) -> bool:
    if one.array.shape != other.array.shape:
        return False
    distance = np.abs(_corners(one) - _corners(other)).max()
    return bool(distance <= _GRID_TOLERANCE * min(other.spacing_mm))


def _box(volume: Volume) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    corners = _corners(volume)
    return corners.min(axis=0), corners.max(axis=0)


def _corners(volume: Volume) -> NDArray[np.float64]:
    return corners_mm(volume.array.shape, volume.affine)
