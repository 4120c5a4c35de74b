"""Invented whole bodies of real size: PET, CT and mask, which pack as scanners' do."""

import gzip
from functools import cache
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from isal import igzip
from numpy.typing import NDArray
from scipy import ndimage

PET: Final = (200, 200, 300)
CT: Final = (512, 512, 300)
_PET_MM: Final = (4.07, 4.07, 3.0)
_CT_MM: Final = (1.52, 1.52, 3.27)
_GZIP_LEVEL: Final = 6
"""That of dcm2niix."""
_QUICK_LEVEL: Final = 1

Floats = NDArray[np.float32]


def write_case(folder: Path, number: int) -> None:
    """Write a PET of float32 and a CT of int16 with noise of their own, also in air."""
    rng = np.random.default_rng(number)
    place = folder / f"case-{number:02}"
    place.mkdir()
    pet, _ = _pet(_pet_noise(rng), rng)
    for name, array, spacing in (("PET", pet, _PET_MM), ("CT", _ct(rng), _CT_MM)):
        content = _content(array, spacing)
        (place / f"{name}.nii.gz").write_bytes(gzip.compress(content, compresslevel=_GZIP_LEVEL))


def write_case_quickly(folder: Path, number: int) -> None:
    """Write a case with a mask whose noise is that of the others, shifted; it packs less."""
    rng = np.random.default_rng(number)
    place = folder / f"case-{number:03}"
    place.mkdir()
    noise, ct = _noise_of_all()
    x, y = (int(step) for step in rng.integers(0, 200, 2))
    pet, mask = _pet(np.roll(noise, (x, y), axis=(0, 1)), rng)
    arrays = (
        ("PET", pet, _PET_MM),
        ("CT", ct + np.int16(number % 7), _CT_MM),
        ("MASK", mask, _PET_MM),
    )
    for name, array, spacing in arrays:
        content = _content(array, spacing)
        packed = igzip.compress(content, compresslevel=_QUICK_LEVEL)
        (place / f"{name}.nii.gz").write_bytes(packed)


@cache
def _noise_of_all() -> tuple[Floats, NDArray[np.int16]]:
    rng = np.random.default_rng(0)
    return _pet_noise(rng), _ct(rng)


def _pet_noise(rng: np.random.Generator) -> Floats:
    noise = ndimage.gaussian_filter(rng.standard_normal(PET, dtype=np.float32), 1.0)
    return np.asarray(noise, dtype=np.float32)


def _pet(noise: Floats, rng: np.random.Generator) -> tuple[Floats, NDArray[np.uint8]]:
    """Return uptake with twelve lesions, and where they are."""
    suv = np.clip(np.where(_body(PET), 0.7 + 0.8 * noise, 0.02 * np.abs(noise)), 0.0, None)
    mask = np.zeros(PET, np.uint8)
    for _ in range(12):
        x, y, z = (int(rng.integers(50, side - 50)) for side in PET)
        place = (slice(x - 3, x + 3), slice(y - 3, y + 3), slice(z - 3, z + 3))
        suv[place] += rng.uniform(3.0, 15.0)
        mask[place] = 1
    # A scanner has whole numbers with a slope for each slice.
    slopes = np.float32(suv.max(axis=(0, 1)) / 32767.0)
    return (np.rint(suv / slopes) * slopes).astype(np.float32), mask


def _ct(rng: np.random.Generator) -> NDArray[np.int16]:
    hu = np.clip(-1000.0 + 8.0 * rng.standard_normal(CT, dtype=np.float32), -1024.0, None)
    inside = _body(CT)
    hu[inside] = 40.0 + 15.0 * rng.standard_normal(int(inside.sum()), dtype=np.float32)
    return np.asarray(hu, dtype=np.int16)


def _body(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    x, y, z = np.ogrid[tuple(slice(-1.0, 1.0, side * 1j) for side in shape)]
    width = 1.0 + 0.15 * np.sin(9.0 * z)
    return np.asarray((x / (0.55 * width)) ** 2 + (y / (0.35 * width)) ** 2 < 1.0)


def _content(array: NDArray[np.generic], spacing: tuple[float, float, float]) -> bytes:
    """Return a volume as most converters leave it: in the directions of DICOM."""
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -(np.array(array.shape) - 1) / 2 * np.diag(affine)[:3]
    return bytes(nibabel.Nifti1Image(array, affine).to_bytes())
