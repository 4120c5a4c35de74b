"""Patches: each holds the voxels that its corner says, and lesions have their share."""

import numpy as np
import pytest

from fedmq.imaging.patches import cut_patch, draw_patches
from fedmq.imaging.preprocessing import PreparedCase
from fedmq.imaging.stored import FULL, StoredCase, store_case

SHAPE = (20, 18, 16)


def case_of(*, lesion: tuple[int, int, int] | None = (3, 14, 5)) -> StoredCase:
    """Return a body in air of which every voxel is known by its number, and one lesion voxel."""
    numbers = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) / np.float32(FULL)
    pet = np.zeros(SHAPE, np.float32)
    pet[2:18, 4:16, :] = 0.5
    mask = np.zeros(SHAPE, np.bool_)
    if lesion is not None:
        mask[lesion] = True
    case = PreparedCase(images=np.stack([pet, numbers]), mask=mask, affine=np.eye(4))
    return store_case(case)


def draw(
    case: StoredCase,
    *,
    seed: int = 1,
    share: float = 0.5,
    shape: tuple[int, int, int] = (4, 6, 8),
) -> list[tuple[int, int, int]]:
    """Return the corners of 200 patches."""
    rng = np.random.default_rng(seed)
    patches = draw_patches(case, shape, count=200, lesion_share=share, rng=rng)
    return [patch.corner for patch in patches]


def test_a_patch_holds_the_voxels_at_its_corner() -> None:
    """Images and mask alike, in order, wherever it was drawn; it lies inside the case."""
    case = case_of()
    assert case.mask is not None
    rng = np.random.default_rng(3)
    patches = draw_patches(case, (4, 6, 8), count=50, lesion_share=0.5, rng=rng)
    for patch in patches:
        x, y, z = patch.corner
        box = (slice(x, x + 4), slice(y, y + 6), slice(z, z + 8))
        np.testing.assert_array_equal(patch.images, case.prepared().images[:, *box])
        np.testing.assert_array_equal(patch.mask, case.mask[box])
        assert patch.mask.shape == (4, 6, 8)


def test_the_same_generator_draws_the_same_patches() -> None:
    """Another seed draws others."""
    assert draw(case_of(), seed=1) == draw(case_of(), seed=1)
    assert draw(case_of(), seed=1) != draw(case_of(), seed=2)


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 30), (0.5, 80, 130), (1.0, 200, 200)])
def test_lesions_have_their_share(share: float, low: int, high: int) -> None:
    """A voxel of 3072 of the body is in few patches by chance, and in as many as was asked."""
    holding = [
        corner
        for corner in draw(case_of(), share=share)
        if all(c <= v < c + s for c, v, s in zip(corner, (3, 14, 5), (4, 6, 8), strict=True))
    ]
    assert low <= len(holding) <= high


def test_the_others_are_anywhere_in_the_body_and_not_in_the_air() -> None:
    """Patches of one voxel show where centres fall; a case without lesion has only these."""
    corners = draw(case_of(lesion=None), share=1.0, shape=(1, 1, 1))
    assert all(2 <= x < 18 and 4 <= y < 16 for x, y, _ in corners)
    assert {x for x, _, _ in corners} == set(range(2, 18))
    assert {z for _, _, z in corners} == set(range(16))
    without_pet = store_case(
        PreparedCase(
            images=np.stack([np.zeros(SHAPE, np.float32), case_of().prepared().images[0]]),
            mask=None,
            affine=np.eye(4),
            presence=(False, True),
        )
    )
    assert draw(without_pet, shape=(1, 1, 1)) == draw(case_of(lesion=None), shape=(1, 1, 1))
    air = np.zeros((2, *SHAPE), np.float32)
    nothing = store_case(PreparedCase(images=air, mask=None, affine=np.eye(4)))
    assert len({x for x, _, _ in draw(nothing, shape=(1, 1, 1))}) == 20


def test_a_case_smaller_than_a_patch_stands_in_its_middle() -> None:
    """Around it is air, and no lesion."""
    case = case_of()
    assert case.mask is not None
    rng = np.random.default_rng(1)
    (patch,) = draw_patches(case, (24, 18, 8), count=1, lesion_share=1.0, rng=rng)
    assert patch.corner == (-2, 0, 1)
    np.testing.assert_array_equal(patch.images[:, 2:22], case.prepared().images[:, :, :, 1:9])
    assert not patch.images[:, :2].any()
    assert not patch.images[:, 22:].any()
    assert patch.mask.sum() == 1
    beside = cut_patch(case, (18, 0, 0), (4, 18, 16))
    np.testing.assert_array_equal(beside.images[:, :2], case.prepared().images[:, 18:])
    assert not beside.images[:, 2:].any()
