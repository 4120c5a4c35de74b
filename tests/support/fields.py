"""Images whose values are known at every millimetre, and cases made of them."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedmq.imaging.cases import Case
from fedmq.imaging.volumes import Volume, save_volume

GRADIENT: Final = np.array([0.5, -0.25, 0.125])


def affine_of(
    spacing: tuple[float, float, float], origin: tuple[float, float, float], turn: float = 0.0
) -> NDArray[np.float64]:
    """Return an affine turned by `turn` radians about the third axis."""
    rotation = np.eye(3)
    rotation[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def places(affine: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the place of each voxel in mm, shape (*shape, 3)."""
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return np.asarray(indices @ affine[:3, :3].T + affine[:3, 3])


def plane(affine: NDArray[np.float64], shape: tuple[int, ...]) -> Volume:
    """Return a volume that is linear in millimetres, so that linear interpolation is exact."""
    return Volume(array=np.float32(places(affine, shape) @ GRADIENT), affine=affine)


def ball(
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    value: float,
    *,
    centre: tuple[float, float, float] = (10, 5, -5),
    radius: float = 14.0,
) -> Volume:
    """Return a ball, in mm, with `value` inside, 0 outside."""
    distance = np.linalg.norm(places(affine, shape) - np.array(centre), axis=-1)
    return Volume(array=np.float32(value * (distance < radius)), affine=affine)


def case_with(folder: Path, **volumes: Volume) -> Case:
    """Return a case whose files hold `volumes`."""
    for modality, volume in volumes.items():
        save_volume(volume, folder / f"{modality}.nii.gz")
    paths = {modality: folder / f"{modality}.nii.gz" for modality in volumes}
    return Case(case_id="A", volumes=paths, clinical={})
