"""A whole body, as coarse as it may be: head, lungs, liver, bladder, thighs, in PET and CT."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.volumes import Volume, save_volume

HEIGHT_MM = 960.0
WIDTH_MM = 480.0
DEPTH_MM = 320.0


def whole_body(
    *, spacing_mm: float = 10.0, ct_spacing_mm: float = 8.0, seed: int = 0
) -> dict[str, Volume]:
    """Return PET, CT and mask of somebody from the head to the thighs, with two lesions."""
    rng = np.random.default_rng(seed)
    pet, places = _empty(spacing_mm)
    lesions = _ball(places, (40, 20, 620), 18) | _ball(places, (-50, 0, 480), 14)
    suv = 0.8 * _body(places) - 0.4 * _lungs(places)
    for shape, uptake in (
        (_ball(places, (0, 0, 880), 65), 7.0),  # brain
        (_ball(places, (70, 10, 450), 75), 2.2),  # liver
        (_ball(places, (0, 20, 180), 35), 25.0),  # bladder
        (lesions, 9.0),
    ):
        suv[shape] = uptake
    suv = np.clip(suv + 0.03 * rng.standard_normal(suv.shape), 0, None)
    ct, there = _empty(ct_spacing_mm)
    hu = np.full(there[0].shape, -1000.0)
    hu[_body(there)] = 30.0
    hu[_lungs(there)] = -800.0
    hu[_ball(there, (0, 0, 880), 78) & ~_ball(there, (0, 0, 880), 65)] = 900.0  # skull
    hu[(abs(there[0]) < 14) & (abs(there[1] + 60) < 14) & (there[2] < 800)] = 500.0  # spine
    return {
        "PET": Volume(array=suv.astype(np.float32), affine=pet),
        "CT": Volume(array=hu.astype(np.float32), affine=ct),
        "MASK": Volume(array=lesions.astype(np.float32), affine=pet),
    }


def turned(volume: Volume) -> Volume:
    """Return the volume with head and feet exchanged, in the place of the one before."""
    return Volume(array=np.ascontiguousarray(volume.array[:, :, ::-1]), affine=volume.affine)


def save_case(volumes: dict[str, Volume], folder: Path) -> Path:
    """Write the volumes of a case to its folder; return it."""
    folder.mkdir(parents=True)
    for modality, volume in volumes.items():
        save_volume(volume, folder / f"{modality}.nii.gz")
    return folder


Places = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _empty(spacing_mm: float) -> tuple[NDArray[np.float64], Places]:
    """Return an affine, and the places of its voxels: from the middle, from behind, from below."""
    sides = [round(side / spacing_mm) for side in (WIDTH_MM, DEPTH_MM, HEIGHT_MM)]
    affine = np.diag([spacing_mm] * 3 + [1.0])
    affine[:3, 3] = [
        -(sides[0] - 1) / 2 * spacing_mm,
        -(sides[1] - 1) / 2 * spacing_mm,
        spacing_mm / 2,
    ]
    x, y, z = np.meshgrid(*(np.arange(side) * spacing_mm for side in sides), indexing="ij")
    return affine, (x + affine[0, 3], y + affine[1, 3], z + affine[2, 3])


def _ball(places: Places, centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    return np.asarray(
        sum((axis - one) ** 2 for axis, one in zip(places, centre, strict=True)) <= radius**2
    )


def _body(places: Places) -> NDArray[np.bool_]:
    x, y, z = places
    trunk = ((x / 170) ** 2 + (y / 110) ** 2 <= 1) & (z >= 120) & (z < 760)
    neck = ((x / 60) ** 2 + (y / 60) ** 2 <= 1) & (z >= 700) & (z < 840)
    thighs = (((abs(x) - 85) / 75) ** 2 + (y / 80) ** 2 <= 1) & (z < 140)
    return np.asarray(trunk | neck | thighs | _ball(places, (0, 0, 880), 78))


def _lungs(places: Places) -> NDArray[np.bool_]:
    x, y, z = places
    return np.asarray(((abs(x) - 85) / 60) ** 2 + (y / 80) ** 2 + ((z - 630) / 120) ** 2 <= 1)
