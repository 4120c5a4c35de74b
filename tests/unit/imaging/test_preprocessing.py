"""Preprocessing, against images whose values are known at every millimetre."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import (
    NEAREST,
    case_array,
    case_mask,
    crop_or_pad,
    resample,
    resample_to_spacing,
    scale_pet,
    window_ct,
)
from fedmq.imaging.volumes import Volume, save_volume

GRADIENT = np.array([0.5, -0.25, 0.125])


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


def ball(affine: NDArray[np.float64], shape: tuple[int, ...], value: float) -> Volume:
    """Return a ball of 14 mm around (10, 5, -5) mm with `value` inside, 0 outside."""
    distance = np.linalg.norm(places(affine, shape) - np.array([10, 5, -5]), axis=-1)
    return Volume(array=np.float32(value * (distance < 14)), affine=affine)


GRIDS = {
    "anisotropic": affine_of((1.0, 2.0, 3.3), (-30.0, -31.0, -32.0)),
    "flipped": affine_of((-1.0, -2.0, 3.3), (30.0, 29.0, -32.0)),
    "oblique": affine_of((1.0, 2.0, 3.3), (-20.0, -36.0, -32.0), turn=0.2),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_linear_image_is_exact_on_any_grid(name: str) -> None:
    """Whatever the source's spacing, direction and angle: value follows place."""
    source = plane(GRIDS[name], (61, 31, 20))
    like = Volume(
        array=np.zeros((8, 7, 6), np.float32),
        affine=affine_of((3.0, 2.5, 4.0), (-9.0, -8.0, -9.0), turn=-0.1),
    )
    expected = places(like.affine, (8, 7, 6)) @ GRADIENT
    np.testing.assert_allclose(resample(source, like), expected, atol=1e-4)


def test_resampling_on_its_own_grid_changes_nothing_not_even_at_the_rim() -> None:
    """Rounding in the inverse of an affine does not turn the first voxels to air."""
    affine = affine_of((5.46875, 5.46875, 3.27), (-123.4, 77.7, -1044.123), turn=0.3)
    volume = plane(affine, (9, 8, 7))
    np.testing.assert_allclose(resample(volume, volume, outside=-1e6), volume.array, rtol=1e-5)


def test_beyond_the_outer_voxels_is_outside() -> None:
    """A voxel reaches half its width: 0.4 voxels out is the rim's value, 0.6 is outside."""
    source = Volume(array=np.ones((4, 4, 4), np.float32), affine=np.eye(4))
    like = Volume(
        array=np.zeros((2, 1, 1), np.float32), affine=affine_of((4.0, 1, 1), (-0.6, 1, 1))
    )
    np.testing.assert_array_equal(resample(source, like, outside=-7)[:, 0, 0], [-7, 1])
    like.affine[0, 3] = -0.4
    np.testing.assert_array_equal(resample(source, like, outside=-7)[:, 0, 0], [1, -7])


def test_masks_keep_their_two_values() -> None:
    """No voxel is half a lesion."""
    mask = ball(GRIDS["oblique"], (61, 31, 20), 1.0)
    like = plane(affine_of((1.7, 1.7, 1.7), (0, -10, -20)), (20, 20, 20))
    assert set(np.unique(resample(mask, like, order=NEAREST))) == {0.0, 1.0}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("spacing_mm", [1.5, 4.0])
def test_a_new_spacing_keeps_place_and_extent(name: str, spacing_mm: float) -> None:
    """Cubic voxels, the old values at the old places, the extent to half a voxel a side."""
    source = plane(GRIDS[name], (61, 31, 20))
    result = resample_to_spacing(source, spacing_mm)
    assert result.spacing_mm == pytest.approx((spacing_mm,) * 3)
    extent = np.array(result.array.shape) * spacing_mm
    old = np.array(source.array.shape) * source.spacing_mm
    assert np.abs(extent - old).max() <= spacing_mm / 2 + 1e-9
    inner = (slice(3, -3),) * 3
    expected = places(result.affine, result.array.shape) @ GRADIENT
    np.testing.assert_allclose(result.array[inner], expected[inner], atol=1e-4)


def test_scales_cut_at_both_ends() -> None:
    """SUV 20 and 240 HU are 1; less than nothing and -160 HU are 0."""
    suv, hu = np.float32([-1, 0, 5, 20, 99]), np.float32([-1024, -160, 40, 240, 3000])
    np.testing.assert_allclose(scale_pet(suv), [0, 0, 0.25, 1, 1])
    np.testing.assert_allclose(window_ct(hu), [0, 0, 0.5, 1, 1])
    assert scale_pet(suv).dtype == window_ct(hu).dtype == np.float32


@pytest.mark.parametrize("centre", [(0, 0, 0), (2, 3, 4), (4, 5, 6), (40, 0, 0), (-9, 3, 3)])
@pytest.mark.parametrize("shape", [(3, 3, 3), (2, 9, 4), (12, 12, 12)])
def test_a_box_holds_each_voxel_at_its_distance_from_the_centre(
    centre: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    """Cropped, padded or beside the array altogether."""
    array = np.arange(5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    box = crop_or_pad(array, shape, centre, outside=-1)
    assert box.shape == shape
    for index in np.ndindex(shape):
        old = tuple(i - side // 2 + c for i, side, c in zip(index, shape, centre, strict=True))
        inside = all(0 <= i < side for i, side in zip(old, array.shape, strict=True))
        assert box[index] == (array[old] if inside else -1)


def case_with(folder: Path, **volumes: Volume) -> Case:
    """Return a case whose files hold `volumes`."""
    for modality, volume in volumes.items():
        save_volume(volume, folder / f"{modality}.nii.gz")
    paths = {modality: folder / f"{modality}.nii.gz" for modality in volumes}
    return Case(case_id="A", volumes=paths, clinical={})


@pytest.mark.parametrize("name", GRIDS)
def test_pet_ct_and_mask_of_a_case_meet_in_one_box(tmp_path: Path, name: str) -> None:
    """Three grids, one ball: it comes to the middle of every array."""
    ct = ball(affine_of((2.0, 2.0, 2.0), (-25.0, -28.0, -40.0)), (45, 40, 35), 400.0)
    case = case_with(
        tmp_path,
        PET=ball(GRIDS[name], (61, 31, 20), 10.0),
        CT=Volume(array=ct.array - 160, affine=ct.affine),
        MASK=ball(affine_of((3.0, 3.0, 3.0), (-25.0, -28.0, -40.0)), (30, 27, 24), 1.0),
    )
    array = case_array(case, shape=(16, 17, 18), spacing_mm=4.0)
    mask = case_mask(case, shape=(16, 17, 18), spacing_mm=4.0)
    assert (array.shape, array.dtype, mask.shape) == ((2, 16, 17, 18), np.float32, (16, 17, 18))
    pet_says, ct_says, mask_says = array[0] > 0.25, array[1] > 0.5, mask > 0
    for says in (pet_says, ct_says, mask_says):
        assert says.sum() * 4**3 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.15)
        assert (says & pet_says).sum() > 0.8 * pet_says.sum()
    middle = np.argwhere(pet_says).mean(axis=0)
    assert np.abs(middle - np.array([8, 8, 9])).max() <= 2.5
    np.testing.assert_array_equal(array, case_array(case, shape=(16, 17, 18), spacing_mm=4.0))


def test_without_uptake_the_middle_is_shown(tmp_path: Path) -> None:
    """An empty PET is no reason to show a corner; beyond the CT is air."""
    pet = Volume(array=np.zeros((9, 9, 9), np.float32), affine=np.diag([4.0, 4, 4, 1]))
    ct = Volume(array=np.full((9, 9, 9), 40, np.float32), affine=np.diag([4.0, 4, 4, 1]))
    array = case_array(case_with(tmp_path, PET=pet, CT=ct), shape=(11, 11, 11), spacing_mm=4.0)
    inside = np.zeros((11, 11, 11), np.float32)
    inside[1:10, 1:10, 1:10] = 0.5
    np.testing.assert_allclose(array[1], inside, atol=1e-6)
