"""Augmentation: other patches, in which PET and mask agree; the same seed gives the same ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.learning.augmentation import Strength, augment

pytestmark = pytest.mark.training

NOTHING = Strength(
    flip_chance=0.0, turn_deg=0.0, scale=0.0, shift_mm=0.0, uptake=0.0, log_gamma=0.0, noise=0.0
)


def patches(num: int = 2, shape: tuple[int, int, int] = (20, 16, 24)) -> tuple[torch.Tensor, ...]:
    """Return patches with a bright ellipsoid, off the middle, that the mask marks; CT the same."""
    x, y, z = (torch.linspace(-1, 1, side) for side in shape)
    place = ((x[:, None, None] - 0.2) / 0.5) ** 2 + (y[None, :, None] / 0.6) ** 2
    inside = (place + (z[None, None] / 0.4) ** 2 < 1.0).float()
    images = torch.stack([0.1 + 0.6 * inside, 0.2 + 0.5 * inside])
    return images.expand(num, -1, -1, -1, -1).clone(), inside.expand(num, 1, -1, -1, -1).clone()


def dice(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return how far two masks agree."""
    return float(2 * (one * other).sum() / (one.sum() + other.sum()))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32))
def test_a_seed_gives_patches_in_range_whose_lesion_is_where_the_mask_says(seed: int) -> None:
    """Same shapes and types, finite, 0 to 1; uptake is what it was but for some percent."""
    images, masks = patches()
    made, marked = augment(images, masks, np.random.default_rng(seed), spacing_mm=4.0)
    assert (made.shape, marked.shape) == (images.shape, masks.shape)
    assert (made.dtype, marked.dtype) == (images.dtype, masks.dtype)
    assert 0.0 <= float(made.min()) <= float(made.max()) <= 1.0
    assert set(marked.unique().tolist()) <= {0.0, 1.0}
    for patch, mask in zip(made, marked, strict=True):
        assert dice((patch[:1] > 0.4).float(), mask) > 0.97
        hot = patch[0][mask[0] > 0]
        assert float(hot.median()) == pytest.approx(0.7, rel=0.05)
    again, same = augment(images, masks, np.random.default_rng(seed), spacing_mm=4.0)
    assert torch.equal(again, made)
    assert torch.equal(same, marked)


def test_patches_of_a_batch_and_of_another_seed_differ() -> None:
    """Each is drawn by itself."""
    images, masks = patches()
    made, _ = augment(images, masks, np.random.default_rng(1), spacing_mm=4.0)
    other, _ = augment(images, masks, np.random.default_rng(2), spacing_mm=4.0)
    assert not torch.equal(made[0], made[1])
    assert not torch.equal(made, other)


def test_without_strength_nothing_changes() -> None:
    """Sampling at its own places gives a patch back."""
    images, masks = patches()
    made, marked = augment(
        images, masks, np.random.default_rng(1), spacing_mm=4.0, strength=NOTHING
    )
    torch.testing.assert_close(made, images, atol=1e-5, rtol=0)
    assert torch.equal(marked, masks)


def test_flips_are_flips() -> None:
    """Of all axes at once here: the patch read backwards, not a shifted one."""
    images, masks = patches()
    always = replace(NOTHING, flip_chance=1.0)
    made, marked = augment(images, masks, np.random.default_rng(1), spacing_mm=4.0, strength=always)
    torch.testing.assert_close(made, images.flip(2, 3, 4), atol=1e-5, rtol=0)
    assert torch.equal(marked, masks.flip(2, 3, 4))


def test_the_ct_alone_shifts_by_no_more_than_it_may() -> None:
    """Its lesion's middle moves, by millimetres; that of the PET stays."""
    images, masks = patches(8)
    strength = replace(NOTHING, shift_mm=8.0)
    made, marked = augment(
        images, masks, np.random.default_rng(1), spacing_mm=4.0, strength=strength
    )
    torch.testing.assert_close(made[:, 0], images[:, 0], atol=1e-5, rtol=0)
    assert torch.equal(marked, masks)
    moved = []
    for before, after in zip(images[:, 1], made[:, 1], strict=True):
        middles = [torch.nonzero(one > 0.45).float().mean(dim=0) for one in (before, after)]
        moved.append((middles[1] - middles[0]).abs().max())
    assert 0.5 < float(torch.stack(moved).max()) < 2.5


def test_a_turn_goes_by_its_angle_in_patches_that_are_no_cubes() -> None:
    """A bar along one axis of an oblong patch is turned, not sheared: it keeps its length."""
    images = torch.zeros(1, 2, 40, 20, 20)
    images[:, :, 8:32, 9:11, 9:11] = 1.0
    masks = images[:, :1].clone()
    strength = replace(NOTHING, turn_deg=25.0)
    for seed in range(5):
        made, _ = augment(
            images, masks, np.random.default_rng(seed), spacing_mm=4.0, strength=strength
        )
        places = torch.nonzero(made[0, 0] > 0.5).float()
        length = torch.linalg.svdvals(places - places.mean(dim=0))[0] / len(places) ** 0.5
        straight = torch.nonzero(images[0, 0] > 0.5).float()
        expected = torch.linalg.svdvals(straight - straight.mean(dim=0))[0] / len(straight) ** 0.5
        assert float(length) == pytest.approx(float(expected), rel=0.08)


def test_a_turn_is_one_in_millimetres() -> None:
    """Where voxels are four times as long one way, a bar keeps its length in mm, not in voxels."""
    images = torch.zeros(1, 2, 40, 40, 20)
    images[:, :, 8:32, 19:21, 9:11] = 1.0
    strength = replace(NOTHING, turn_deg=25.0)
    spacing = (2.0, 2.0, 8.0)
    for seed in range(5):
        made, _ = augment(
            images,
            images[:, :1].clone(),
            np.random.default_rng(seed),
            spacing_mm=spacing,
            strength=strength,
        )
        places = torch.nonzero(made[0, 0] > 0.3).float() * torch.tensor(spacing)
        ends = torch.linalg.svd(places - places.mean(dim=0)).Vh[0]
        along = places @ ends
        assert float(along.max() - along.min()) == pytest.approx(46.0, rel=0.2)
