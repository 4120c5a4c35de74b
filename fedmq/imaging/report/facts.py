"""Facts: what is kept of a case once its volumes are out of memory."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.extents import mark_body
from fedmq.imaging.feature_table import Features
from fedmq.imaging.features import measure
from fedmq.imaging.volumes import Volume

SUV_EDGES: Final = np.linspace(0.0, 20.0, 41)
HU_EDGES: Final = np.linspace(-1100.0, 1500.0, 53)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Extent:
    """The grid of one volume."""

    spacing_mm: tuple[float, float, float]
    shape: tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CaseFacts:
    """The numbers of one case."""

    case_id: str
    has_clinical: bool
    extents: Mapping[str, Extent]
    """By modality."""
    suv_max: float | None
    body_suv: float | None
    """Median uptake of the body."""
    hu_range: tuple[float, float] | None
    suv_counts: NDArray[np.int_]
    """Voxels between `SUV_EDGES`; what is higher is in the last one. Empty without a PET."""
    hu_counts: NDArray[np.int_]
    """Voxels between `HU_EDGES`; what is beyond is at the ends. Empty without a CT."""
    features: Features | None
    """Nothing without PET and mask, both fit for use, the one on the other."""


def facts_of(case: Case, volumes: Mapping[str, Volume], unfit: Collection[str] = ()) -> CaseFacts:
    """Return what is to be told of a case with these volumes; no features of those `unfit`."""
    pet, ct, mask = (volumes.get(modality) for modality in ("PET", "CT", "MASK"))
    is_measured = not {"PET", "MASK"} & set(unfit)
    return CaseFacts(
        case_id=case.case_id,
        has_clinical=bool(case.clinical),
        extents={modality: _extent(volume) for modality, volume in sorted(volumes.items())},
        suv_max=None if pet is None else float(pet.array.max()),
        body_suv=None if pet is None else _body_suv(pet),
        hu_range=None if ct is None else (float(ct.array.min()), float(ct.array.max())),
        suv_counts=_counts(pet, SUV_EDGES),
        hu_counts=_counts(ct, HU_EDGES),
        features=_measured(pet, mask) if is_measured and pet and mask else None,
    )


def _measured(pet: Volume, mask: Volume) -> Features | None:
    with suppress(DatasetError):
        return measure(pet, mask)
    return None


def _extent(volume: Volume) -> Extent:
    x, y, z = volume.array.shape
    return Extent(spacing_mm=volume.spacing_mm, shape=(x, y, z))


def _body_suv(pet: Volume) -> float | None:
    smooth, body = mark_body(pet.array)
    return float(np.median(smooth[body])) if body.any() else None


def _counts(volume: Volume | None, edges: NDArray[np.float64]) -> NDArray[np.int_]:
    counts = np.zeros(len(edges) - 1, np.int_)
    if volume is None:
        return counts[:0]
    # Slice by slice: all at once, they would be held a second time, cut to the ends.
    for number in range(volume.array.shape[2]):
        plane = np.clip(volume.array[:, :, number], edges[0], edges[-1])
        counts += np.histogram(plane, edges)[0]
    return counts
