"""Augmentation: patches as another patient, position or scanner might have given them.

One resampling does turn, scale, flip and the CT's shift against the PET, which breathing makes: one
pass with torch's own sampling takes half of what MONAI's chain of transforms does, and MONAI has no
shift of one channel (docs/adr/0026). Uptake is hardly scaled: SUV carries meaning. All of it is
drawn from one generator, in one order: the same seed gives the same bits.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fedmq.imaging.resampling import Spacing

_HALF: Final = 0.5
"""What is covered by half or more is marked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How far patches may go from what they are; each draw is uniform up to these, either way."""

    flip_chance: float = 0.5
    """Of each axis."""
    turn_deg: float = 10.0
    """About each axis."""
    scale: float = 0.1
    """Of sizes: 0.1 is 10 % smaller to 10 % larger."""
    shift_mm: float = 5.0
    """Of the CT against the PET, along each axis."""
    uptake: float = 0.03
    """Of SUV: a scanner's calibration is no better."""
    log_gamma: float = 0.2
    """Of the CT's window: its contrast is no measurement once it is cut to a window."""
    noise: float = 0.01
    """Standard deviation at most, of both images, which are 0 to 1; none where there is nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Drawn:
    """What is done to one patch."""

    to_source: NDArray[np.float64]
    """Shape (3, 3): a step of the new patch in steps of the old one."""
    shift: NDArray[np.float64]
    """Of the CT, in voxels, shape (3,)."""
    uptake: float
    gamma: float
    noise: float
    noise_seed: int


def augment(
    images: torch.Tensor,
    masks: torch.Tensor,
    rng: np.random.Generator,
    *,
    spacing_mm: Spacing,
    strength: Strength | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return other patches of the same shapes.

    `images`: PET and CT, shape (n, 2, X, Y, Z), 0 to 1, float32; `masks`: shape (n, 1, X, Y, Z), 0
    or 1. What comes in from beyond a patch repeats its rim.
    """
    limits = strength or Strength()
    done = [
        _apply(image, mask, _draw(rng, limits, spacing_mm))
        for image, mask in zip(images, masks, strict=True)
    ]
    return torch.stack([image for image, _ in done]), torch.stack([mask for _, mask in done])


def _draw(rng: np.random.Generator, limits: Strength, spacing_mm: Spacing) -> _Drawn:
    """Return one patch's changes: always the same number of draws, whatever comes out."""
    sides = np.broadcast_to(spacing_mm, 3)
    angles = np.radians(rng.uniform(-limits.turn_deg, limits.turn_deg, 3))
    flips = np.where(rng.random(3) < limits.flip_chance, -1.0, 1.0)
    size = 1.0 + rng.uniform(-limits.scale, limits.scale)
    return _Drawn(
        # A turn is one in millimetres.
        to_source=_turn(angles) * sides / sides[:, np.newaxis] @ np.diag(flips) / size,
        shift=rng.uniform(-limits.shift_mm, limits.shift_mm, 3) / sides,
        uptake=1.0 + rng.uniform(-limits.uptake, limits.uptake),
        gamma=math.exp(rng.uniform(-limits.log_gamma, limits.log_gamma)),
        noise=rng.uniform(0.0, limits.noise),
        noise_seed=int(rng.integers(2**63)),
    )


def _apply(
    image: torch.Tensor, mask: torch.Tensor, drawn: _Drawn
) -> tuple[torch.Tensor, torch.Tensor]:
    pet, marked = _sampled(torch.cat([image[:1], mask]), drawn.to_source, np.zeros(3))
    (ct,) = _sampled(image[1:], drawn.to_source, drawn.shift)
    made = torch.stack([pet * drawn.uptake, ct.clamp_min(0.0) ** drawn.gamma])
    # numpy's normal numbers come in half the time of torch's, of one seed on all machines.
    normal = np.random.default_rng(drawn.noise_seed).standard_normal(made.shape, np.float32)
    # Where there is air, or nothing at all, a scanner's noise is cut off with the window.
    made = torch.where(made > 0.0, made + drawn.noise * torch.from_numpy(normal), made)
    return made.clamp(0.0, 1.0), (marked >= _HALF).to(mask.dtype)[None]


def _sampled(
    volumes: torch.Tensor, to_source: NDArray[np.float64], shift: NDArray[np.float64]
) -> torch.Tensor:
    """Return `volumes`, shape (c, X, Y, Z), at other places around the same middle."""
    sides = np.array(volumes.shape[1:], dtype=np.float64)
    # torch counts from -1 to 1 along each axis, and names the last one first.
    matrix = np.concatenate(
        [
            to_source * sides[np.newaxis] / sides[:, np.newaxis],
            (2.0 * shift / sides)[:, np.newaxis],
        ],
        axis=1,
    )
    matrix = np.concatenate([matrix[::-1, 2::-1], matrix[::-1, 3:]], axis=1)
    theta = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))[None]
    grid = functional.affine_grid(theta, [1, len(volumes), *volumes.shape[1:]], align_corners=False)
    sampled = functional.grid_sample(
        volumes[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[0]


def _turn(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation by angles in radians about the three axes, one after the other."""
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(3)
        step[first, first] = step[second, second] = math.cos(angle)
        step[first, second], step[second, first] = -math.sin(angle), math.sin(angle)
        turn = turn @ step
    return turn
