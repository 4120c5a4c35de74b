"""Resampling, against images whose values are known at every millimetre."""

import numpy as np
import pytest

from fedmq.imaging.resampling import Grid, boxed_grid, grid_of, resample, spaced_grid
from fedmq.imaging.volumes import Volume
from tests.support.fields import GRADIENT, affine_of, ball, places, plane

GRIDS = {
    "anisotropic": affine_of((1.0, 2.0, 3.3), (-30.0, -31.0, -32.0)),
    "flipped": affine_of((-1.0, -2.0, 3.3), (30.0, 29.0, -32.0)),
    "oblique": affine_of((1.0, 2.0, 3.3), (-20.0, -36.0, -32.0), turn=0.2),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("spacing", [(1.5, 2.5, 4.0), (3.0, 5.0, 7.0)])
def test_a_linear_image_is_exact_on_any_grid(
    name: str, spacing: tuple[float, float, float]
) -> None:
    """Whatever the source's spacing, direction and angle, averaged or not: value follows place."""
    source = plane(GRIDS[name], (61, 31, 20))
    grid = Grid(affine=affine_of(spacing, (-9.0, -8.0, -9.0), turn=-0.1), shape=(6, 4, 5))
    expected = places(grid.affine, grid.shape) @ GRADIENT
    np.testing.assert_allclose(resample(source, grid), expected, atol=1e-4)


def test_resampling_on_its_own_grid_changes_nothing_not_even_at_the_rim() -> None:
    """Bit for bit, though the inverse of an affine is rounded."""
    affine = affine_of((5.46875, 5.46875, 3.27), (-123.4, 77.7, -1044.123), turn=0.3)
    volume = plane(affine, (9, 8, 7))
    np.testing.assert_array_equal(resample(volume, grid_of(volume), outside=-1e6), volume.array)


def test_beyond_the_outer_voxels_is_outside() -> None:
    """A voxel reaches half its width: 0.4 voxels out is the rim's value, 0.6 is outside."""
    source = Volume(array=np.ones((4, 4, 4), np.float32), affine=np.eye(4))
    grid = Grid(affine=affine_of((4.0, 1, 1), (-0.6, 1, 1)), shape=(2, 1, 1))
    np.testing.assert_array_equal(resample(source, grid, outside=-7)[:, 0, 0], [-7, 1])
    grid.affine[0, 3] = -0.4
    np.testing.assert_array_equal(resample(source, grid, outside=-7)[:, 0, 0], [1, -7])


def test_a_wider_voxel_holds_the_mean_of_those_it_replaces() -> None:
    """One hot voxel of sixty-four does not vanish between the points of a coarse grid."""
    array = np.zeros((8, 8, 7), np.float32)
    array[1, 6, 0] = 64.0
    array[:, :, 6] = 10.0
    source = Volume(array=array, affine=affine_of((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
    grid = Grid(affine=affine_of((4.0, 4.0, 4.0), (1.5, 1.5, 1.5)), shape=(2, 2, 2))
    result = resample(source, grid)
    expected = np.zeros((2, 2, 2))
    expected[0, 1, 0] = 1.0
    # The last block has three layers, and repeats the rim in the fourth.
    expected[:, :, 1] = 5.0
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("spacing", [1.5, 4.0, (2.0, 3.0, 5.0)])
def test_a_new_spacing_keeps_place_and_extent(
    name: str, spacing: float | tuple[float, float, float]
) -> None:
    """The spacing asked for, the same axes and middle, the extent to half a voxel a side."""
    source = plane(GRIDS[name], (61, 31, 20))
    grid = spaced_grid(grid_of(source), spacing)
    sides = np.broadcast_to(spacing, 3)
    np.testing.assert_allclose(grid.spacing_mm, sides)
    directions = source.affine[:3, :3] / source.spacing_mm
    np.testing.assert_allclose(grid.affine[:3, :3] / sides, directions, atol=1e-12)
    middles = [
        one.affine @ [*((np.array(one.shape) - 1) / 2), 1.0] for one in (grid, grid_of(source))
    ]
    np.testing.assert_allclose(middles[0], middles[1])
    old = np.array(source.array.shape) * source.spacing_mm
    assert (np.abs(np.array(grid.shape) * sides - old) <= sides / 2 + 1e-9).all()
    inner = (slice(3, -3),) * 3
    expected = places(grid.affine, grid.shape) @ GRADIENT
    np.testing.assert_allclose(resample(source, grid)[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("centre", [(0, 0, 0), (2, 3, 4), (4, 5, 6), (40, 0, 0), (-9, 3, 3)])
@pytest.mark.parametrize("shape", [(3, 3, 3), (2, 9, 4), (12, 12, 12)])
def test_a_box_holds_each_voxel_at_its_distance_from_the_centre(
    centre: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    """Cropped, padded or beside the volume altogether."""
    array = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    volume = Volume(array=array, affine=GRIDS["oblique"])
    box = resample(volume, boxed_grid(grid_of(volume), shape, centre), outside=-1)
    assert box.shape == shape
    for index in np.ndindex(shape):
        old = tuple(i - side // 2 + c for i, side, c in zip(index, shape, centre, strict=True))
        inside = all(0 <= i < side for i, side in zip(old, array.shape, strict=True))
        assert box[index] == (array[old] if inside else -1)


def test_a_ball_keeps_its_volume_on_a_finer_and_a_coarser_grid() -> None:
    """Coverage adds up to it; what is half covered or more does within a tenth."""
    source = ball(GRIDS["oblique"], (61, 31, 20), 1.0)
    for spacing in (1.5, 4.0):
        covered = resample(source, spaced_grid(grid_of(source), spacing))
        expected = source.array.sum() * 6.6
        assert covered.sum() * spacing**3 == pytest.approx(expected, rel=0.03)
        assert (covered >= 0.5).sum() * spacing**3 == pytest.approx(expected, rel=0.1)
