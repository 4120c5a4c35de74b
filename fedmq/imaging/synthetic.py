"""Synthetic cohorts: invented patients for demonstrations and tests, no person's data anywhere.

A patient is an ellipsoid of soft tissue in air with one ellipsoidal lesion. Lesion volume and
uptake drive an exponential hazard of progression, so that there is something to learn from the
images, and not too much: ranking by the true risk gives a C-index near 0.75, as the best published
studies report. `petct-survival`, trained on the demonstration's cases of all sites pooled, reaches
0.65 to 0.75 on those left out: a test of the plan holds it to that, and 0.72 to 0.73 was measured.
Each patient has one lesion and no organ of high uptake, so that these images are easier to read
than real ones. PET and CT both show the volume, the PET alone the uptake; with `density_effect` the
CT alone shows how dense the lesion is, and the hazard follows that too. The figures are plausible,
not fitted to any hospital; the sites do not exist.
"""

import csv
import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedmq.errors import ConfigurationError
from fedmq.imaging.clinical import CASE_COLUMN
from fedmq.imaging.layouts.data_map import CLINICAL_FILE
from fedmq.imaging.volumes import Volume, save_volume

VOLUME_EFFECT: Final = 1.1
"""Log hazard per e-fold of lesion volume."""
UPTAKE_EFFECT: Final = 1.5
"""Log hazard per e-fold of lesion uptake."""
REFERENCE_ML: Final = 20.0
REFERENCE_SUV: Final = 8.0
MEDIAN_PFS_MONTHS: Final = 7.0
"""Of a patient with the lesion of reference."""
_MIN_FOLLOW_UP_MONTHS: Final = 6.0
_MAX_FOLLOW_UP_MONTHS: Final = 36.0
_CONTRAST_HU: Final = 60.0
_CONTRAST_SPREAD_HU: Final = 40.0
"""Standard deviation, where density matters at all."""
_PET_FWHM_MM: Final = 6.0
_FWHM_PER_SIGMA: Final = 2.355
_PET_SIDE: Final = 24
_FIELD_MM: Final = 110.0
"""Side of the CT's box; the PET's follows from its spacing."""
_BODY_MM: Final = np.array([48.0, 42.0, 70.0])
"""Half axes of the body: air on four sides."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A hospital that does not exist: its scanner and its mix of patients."""

    name: str
    spacing_mm: tuple[float, float, float]
    """Of its PET."""
    ct_spacing_mm: tuple[float, float, float]
    noise: float
    """Of its PET: standard deviation in SUV."""
    lesion_ml: float
    """Median volume; a log-normal with standard deviation 0.8."""
    lesion_suv: float
    """Median uptake; a log-normal with standard deviation 0.45."""
    num_cases: int
    density_effect: float = 0.0
    """Log hazard per standard deviation of the lesion's density; 0: all are equally dense."""


SITES: Final[Mapping[str, Site]] = {
    site.name: site
    for site in (
        Site(
            name="chu-lyon",
            spacing_mm=(4.0, 4.0, 4.0),
            ct_spacing_mm=(3.0, 3.0, 3.5),
            noise=0.15,
            lesion_ml=18.0,
            lesion_suv=8.0,
            num_cases=48,
        ),
        Site(
            name="ghu-paris",
            spacing_mm=(4.7, 4.7, 3.3),
            ct_spacing_mm=(2.6, 2.6, 3.3),
            noise=0.2,
            lesion_ml=25.0,
            lesion_suv=9.0,
            num_cases=40,
        ),
        Site(
            name="umc-basel",
            spacing_mm=(4.1, 4.1, 5.0),
            ct_spacing_mm=(3.2, 3.2, 3.0),
            noise=0.25,
            lesion_ml=15.0,
            lesion_suv=7.0,
            num_cases=32,
        ),
        Site(
            name="ico-nantes",
            spacing_mm=(5.5, 5.5, 4.0),
            ct_spacing_mm=(2.8, 2.8, 4.0),
            noise=0.35,
            lesion_ml=30.0,
            lesion_suv=8.0,
            num_cases=24,
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    centre_mm: Floats
    half_axes_mm: Floats
    suv: float
    contrast_hu: float
    """Of the lesion, against the body around it."""
    clinical: tuple[tuple[str, str], ...]


def write_cohort(
    site: Site,
    folder: Path,
    *,
    num_cases: int | None = None,
    seed: int = 0,
    has_volumes: bool = True,
) -> None:
    """Write a dataset of `site` to `folder`: a folder per case and `clinical.csv`.

    The same site and seed give the same bytes; a case does not depend on how many follow, its row
    not on whether it has volumes.

    Raises:
        ConfigurationError: no case was asked for.
    """
    count = site.num_cases if num_cases is None else num_cases
    if count < 1:
        raise ConfigurationError("a cohort has at least one case", fix="ask for one or more")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(1, count + 1):
        case_id = f"{site.name}-{number:03}"
        digest = hashlib.sha256(f"{seed}:{case_id}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        patient = _draw_patient(site, rng)
        rows.append({CASE_COLUMN: case_id, **dict(patient.clinical)})
        place = folder / case_id
        place.mkdir(exist_ok=True)
        volumes = _draw_volumes(site, patient, rng) if has_volumes else {}
        for modality, volume in volumes.items():
            save_volume(volume, place / f"{modality}.nii.gz")
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (folder / CLINICAL_FILE).write_text(table.getvalue(), encoding="utf-8")


def true_risk(lesion_ml: float, lesion_suv: float) -> float:
    """Return the log hazard ratio of a lesion against that of reference."""
    return VOLUME_EFFECT * math.log(lesion_ml / REFERENCE_ML) + UPTAKE_EFFECT * math.log(
        lesion_suv / REFERENCE_SUV
    )


def _draw_patient(site: Site, rng: np.random.Generator) -> _Patient:
    lesion_ml = float(np.clip(site.lesion_ml * math.exp(0.8 * rng.standard_normal()), 2.0, 120.0))
    suv = float(np.clip(site.lesion_suv * math.exp(0.45 * rng.standard_normal()), 2.5, 19.0))
    stretch = np.exp(rng.uniform(-0.2, 0.2, size=3))
    radius_mm = (lesion_ml * 1000.0 * 3.0 / (4.0 * math.pi)) ** (1.0 / 3.0)
    # Of a generator of its own: the other draws are the same with an effect and without.
    density = rng.spawn(1)[0].standard_normal() if site.density_effect else 0.0
    risk = true_risk(lesion_ml, suv) + site.density_effect * density
    return _Patient(
        centre_mm=rng.uniform(-10.0, 10.0, size=3),
        half_axes_mm=radius_mm * stretch / np.prod(stretch) ** (1.0 / 3.0),
        suv=suv,
        contrast_hu=float(np.clip(_CONTRAST_HU + _CONTRAST_SPREAD_HU * density, 10.0, 200.0)),
        clinical=_draw_clinical(risk, rng),
    )


def _draw_clinical(risk: float, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
    """Return the cells of the row; ECOG follows the risk loosely, age and sex not at all."""
    months = rng.exponential(MEDIAN_PFS_MONTHS / math.log(2.0) * math.exp(-risk))
    follow_up = rng.uniform(_MIN_FOLLOW_UP_MONTHS, _MAX_FOLLOW_UP_MONTHS)
    age = int(np.clip(round(rng.normal(65.0, 9.0)), 35, 88))
    ecog = int(np.clip(round(0.8 + 0.5 * risk + 0.6 * rng.standard_normal()), 0, 3))
    return (
        ("age", str(age)),
        ("sex", str(rng.choice(["F", "M"]))),
        ("ecog", str(ecog)),
        ("pfs_months", f"{max(min(months, follow_up), 0.1):.1f}"),
        ("progressed", str(int(months <= follow_up))),
    )


def _draw_volumes(site: Site, patient: _Patient, rng: np.random.Generator) -> dict[str, Volume]:
    """Return PET (SUV) and MASK on one grid, CT (HU) on another that is a little off."""
    pet_grid = _grid((_PET_SIDE,) * 3, site.spacing_mm, rng.uniform(-1.0, 1.0, size=3))
    sides = [round(_FIELD_MM / spacing) for spacing in site.ct_spacing_mm]
    ct_grid = _grid((sides[0], sides[1], sides[2]), site.ct_spacing_mm, rng.uniform(-2, 2, size=3))

    lesion = _ellipsoid(pet_grid, patient.centre_mm, patient.half_axes_mm)
    suv = 1.0 * _ellipsoid(pet_grid, np.zeros(3), _BODY_MM)
    suv += (patient.suv - suv) * lesion
    sigma = [_PET_FWHM_MM / _FWHM_PER_SIGMA / spacing for spacing in site.spacing_mm]
    suv = ndimage.gaussian_filter(suv, sigma)
    suv = np.clip(suv + site.noise * rng.standard_normal(suv.shape), 0.0, None)

    body = _ellipsoid(ct_grid, np.zeros(3), _BODY_MM)
    tumour = _ellipsoid(ct_grid, patient.centre_mm, patient.half_axes_mm)
    hu = (
        -1000.0
        + 980.0 * body
        + patient.contrast_hu * tumour
        + 12.0 * rng.standard_normal(body.shape)
    )
    return {
        "PET": _volume(pet_grid, suv),
        "CT": _volume(ct_grid, np.rint(np.clip(hu, -1024.0, None))),
        "MASK": _volume(pet_grid, lesion >= 0.5),  # noqa: PLR2004 - half covered
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    affine: Floats
    shape: tuple[int, int, int]


def _grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], shift: Floats) -> _Grid:
    """Return a grid whose middle is `shift` mm away from the patient's."""
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = shift - (np.array(shape) - 1) / 2 * np.array(spacing)
    return _Grid(affine=affine, shape=shape)


def _ellipsoid(grid: _Grid, centre_mm: Floats, half_axes_mm: Floats) -> Floats:
    """Return the share of each voxel that lies inside, with a rim one voxel wide."""
    spacing = np.diag(grid.affine)[:3]
    radius = np.zeros(grid.shape)
    slopes = np.zeros(grid.shape)
    for axis, index in enumerate(np.ogrid[: grid.shape[0], : grid.shape[1], : grid.shape[2]]):
        away = grid.affine[axis, 3] + spacing[axis] * index - centre_mm[axis]
        radius = radius + (away / half_axes_mm[axis]) ** 2
        slopes = slopes + (away / half_axes_mm[axis] ** 2) ** 2
    radius = np.sqrt(radius)
    # The distance to the surface is, to first order, (radius - 1) over the slope of radius.
    slope = np.sqrt(slopes) / np.maximum(radius, 1e-6)
    distance = (radius - 1.0) / np.maximum(slope, 1e-6)
    return np.asarray(np.clip(0.5 - distance / spacing.mean(), 0.0, 1.0))


def _volume(grid: _Grid, array: NDArray[np.generic]) -> Volume:
    return Volume(array=np.asarray(array, dtype=np.float32), affine=grid.affine)
