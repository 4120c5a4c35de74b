"""Resampling equals SimpleITK's, which shares no line with it, on grids of any direction."""

import itertools

import numpy as np
import pytest
import SimpleITK as itk  # noqa: N813 - as everybody calls what it wraps
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fedmq.imaging.interpolation import are_straight
from fedmq.imaging.resampling import Floats, Grid, grid_of, resample
from fedmq.imaging.volumes import Volume

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
OUTSIDE = -1024.0
SIDES = st.integers(1, 9)
NEAR_RIM = 1e-4
"""Of a voxel: nearer than that to where a volume ends, rounding decides on which side it is."""


def affine_of(
    spacing: tuple[float, ...], flips: tuple[int, ...], angles: tuple[float, ...], shift: object
) -> NDArray[np.float64]:
    """Return an affine of these spacings in mm, directions, Euler angles in degrees, and shift."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(np.array(spacing) * flips)
    affine[:3, 3] = shift
    return affine


ANGLES = st.floats(-40, 40).map(lambda degrees: round(degrees, 6))
"""ITK's own singular values fail on a turn by 1e-311 degrees."""
AFFINES = st.builds(
    affine_of,
    st.tuples(*[st.floats(0.7, 4.9)] * 3),
    st.tuples(*[st.sampled_from([1, -1])] * 3),
    st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[ANGLES] * 3)),
    st.tuples(*[st.floats(-9, 9)] * 3),
)


def described(image: itk.Image, affine: NDArray[np.float64]) -> itk.Image:
    """Return an ITK image that lies where an affine in RAS+ says."""
    affine = LPS @ affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing([float(side) for side in spacing])
    image.SetOrigin([float(place) for place in affine[:3, 3]])
    image.SetDirection([float(one) for one in (affine[:3, :3] / spacing).ravel()])
    return image


def resample_by_itk(volume: Volume, grid: Grid) -> Floats:
    """Return what SimpleITK makes of it: linear, `OUTSIDE` beyond half a voxel."""
    source = described(itk.GetImageFromArray(np.ascontiguousarray(volume.array.T)), volume.affine)
    target = described(itk.Image([int(side) for side in grid.shape], itk.sitkFloat32), grid.affine)
    made = itk.Resample(
        source,
        target,
        itk.Transform(3, itk.sitkIdentity),
        itk.sitkLinear,
        OUTSIDE,
        itk.sitkFloat32,
    )
    return np.asarray(itk.GetArrayFromImage(made)).T


def is_clear_of_rims(volume: Volume, grid: Grid) -> NDArray[np.bool_]:
    """Return which voxels of the grid are not just where the volume ends."""
    indices = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    to_source = np.linalg.inv(volume.affine) @ grid.affine
    places = indices @ to_source[:3, :3].T + to_source[:3, 3]
    ends = np.array(volume.array.shape) - 0.5
    away = np.minimum(np.abs(places + 0.5), np.abs(places - ends))
    return np.asarray(away.min(axis=-1) > NEAR_RIM)


def compare(volume: Volume, grid: Grid) -> None:
    """Compare voxel by voxel, to what float32 can say of a CT."""
    clear = is_clear_of_rims(volume, grid)
    ours = resample(volume, grid, outside=OUTSIDE)
    np.testing.assert_allclose(ours[clear], resample_by_itk(volume, grid)[clear], atol=2e-2)


@settings(max_examples=60, deadline=None)
@given(AFFINES, AFFINES, st.tuples(SIDES, SIDES, SIDES), st.tuples(SIDES, SIDES, SIDES))
def test_any_volume_on_any_grid_is_as_simpleitk_has_it(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    old: tuple[int, int, int],
    new: tuple[int, int, int],
) -> None:
    """Oblique, flipped, anisotropic, shifted, partly or wholly beside it; noise, the worst case.

    Where new voxels are twice as wide the old ones are averaged first, which ITK does not do.
    """
    widths = np.linalg.norm(source[:3, :3], axis=0)
    target[:3, :3] *= np.minimum(1.0, 1.99 * widths / np.linalg.norm(target[:3, :3], axis=0))
    array = np.random.default_rng(1).uniform(-1000.0, 2000.0, old).astype(np.float32)
    compare(Volume(array=array, affine=source), Grid(affine=target, shape=new))


@pytest.mark.parametrize("flips", list(itertools.product([1, -1], repeat=3)))
@pytest.mark.parametrize("order", ["C", "F"])
def test_straight_grids_are_as_simpleitk_has_them(flips: tuple[int, ...], order: str) -> None:
    """The way of planes, in each direction, whichever axis lies together in memory."""
    array = np.random.default_rng(1).uniform(-1000.0, 2000.0, (17, 14, 9)).astype(np.float32)
    source = affine_of((1.5, 1.4, 3.3), flips, (0, 0, 0), (3.0, -2.0, 7.5))
    volume = Volume(array=np.asarray(array, order="F" if order == "F" else "C"), affine=source)
    for signs in (flips, (1, 1, 1)):
        target = affine_of((2.1, 1.9, 2.0), signs, (0, 0, 0), source[:3, :3] @ (2.3, 1.1, 0.4))
        target[:3, 3] += (3.0, -2.0, 7.5)
        grid = Grid(affine=target, shape=(11, 9, 12))
        assert are_straight(np.linalg.inv(source) @ target, grid.shape)
        compare(volume, grid)


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_both_ways_give_the_same_values(flips: tuple[int, ...]) -> None:
    """A hair of a turn takes the general way: the values differ by rounding, also averaged."""
    array = np.random.default_rng(2).uniform(-1000.0, 2000.0, (33, 30, 21)).astype(np.float32)
    volume = Volume(array=array, affine=affine_of((1.5, 1.4, 3.3), flips, (0, 0, 0), (1, 2, 3)))
    for spacing in ((2.0, 1.1, 3.0), (4.0, 5.1, 7.2)):
        target = affine_of(spacing, flips, (0, 0, 0), volume.affine[:3, :3] @ (1.3, 2.2, 0.7))
        straight = Grid(affine=target, shape=(8, 7, 6))
        hair = Grid(affine=target.copy(), shape=(8, 7, 6))
        hair.affine[0, 1] += 3e-5
        to_source = [np.linalg.inv(volume.affine) @ one.affine for one in (straight, hair)]
        assert [are_straight(one, (8, 7, 6)) for one in to_source] == [True, False]
        np.testing.assert_allclose(resample(volume, straight), resample(volume, hair), atol=0.5)


def test_a_volume_stays_itself_on_its_own_grid_in_itk_too() -> None:
    """Nothing moves by a half voxel on the way to ITK: the comparisons above mean something."""
    array = np.random.default_rng(1).random((4, 5, 6)).astype(np.float32)
    volume = Volume(array=array, affine=affine_of((1, 2, 3), (-1, 1, 1), (10, 20, 30), (1, 2, 3)))
    np.testing.assert_allclose(resample_by_itk(volume, grid_of(volume)), array, atol=1e-5)
