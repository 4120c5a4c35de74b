"""Preprocessing: PET, CT and mask meet on the grid that a frame says, voxel by voxel."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.datasets import find_cases
from fedmq.imaging.extents import body_centre, hottest_voxel
from fedmq.imaging.preprocessing import (
    Frame,
    frame_grid,
    prepare_case,
    scale_pet,
    window_ct,
)
from fedmq.imaging.synthetic import SITES, write_cohort
from fedmq.imaging.volumes import Volume
from tests.support.fields import GRADIENT, affine_of, ball, case_with, places, plane

PETS = {
    "anisotropic": affine_of((1.0, 2.0, 3.3), (-30.0, -31.0, -32.0)),
    "oblique": affine_of((1.0, 2.0, 3.3), (-20.0, -36.0, -32.0), turn=0.2),
}
SHAPE = (61, 31, 20)


def body(shape: tuple[int, int, int], **hot: tuple[slice, slice, slice]) -> np.ndarray:
    """Return uptake of 1 in the named boxes, of 50 in `hot`, else air with a little noise."""
    suv = np.random.default_rng(1).uniform(0.0, 0.2, shape).astype(np.float32)
    for name, box in hot.items():
        suv[box] = 50.0 if name == "hot" else 1.0
    return suv


def test_scales_cut_at_both_ends() -> None:
    """SUV 20 and 240 HU are 1; less than nothing and -160 HU are 0."""
    suv, hu = np.float32([-1, 0, 5, 20, 99]), np.float32([-1024, -160, 40, 240, 3000])
    np.testing.assert_allclose(scale_pet(suv), [0, 0, 0.25, 1, 1])
    np.testing.assert_allclose(window_ct(hu), [0, 0, 0.5, 1, 1])
    assert scale_pet(suv).dtype == window_ct(hu).dtype == np.float32


@pytest.mark.parametrize("name", PETS)
def test_the_whole_case_stands_on_the_grid_of_its_pet(tmp_path: Path, name: str) -> None:
    """Affine and shape are the PET's, its voxels untouched; the CT there is its own field."""
    pet = ball(PETS[name], SHAPE, 8.0)
    ct = plane(affine_of((1.4, 1.2, 2.0), (-40.0, -40.0, -40.0)), (70, 65, 50))
    case = case_with(tmp_path, PET=pet, CT=ct, MASK=ball(PETS[name], SHAPE, 1.0))
    prepared = prepare_case(case, Frame(), with_mask=True)
    # Through a file an affine has the digits of float32.
    np.testing.assert_allclose(prepared.affine, pet.affine, atol=1e-5)
    np.testing.assert_array_equal(prepared.images[0], pet.array / np.float32(20))
    assert prepared.mask is not None
    np.testing.assert_array_equal(prepared.mask, pet.array > 0)
    where = places(pet.affine, SHAPE)
    inside = ((where > -38) & (where < np.array([55, 36, 55]))).all(axis=-1)
    assert inside.mean() > 0.9
    expected = window_ct(np.float32(where @ GRADIENT))
    np.testing.assert_allclose(prepared.images[1][inside], expected[inside], atol=1e-5)


def test_a_spacing_gives_every_site_the_same_voxels(tmp_path: Path) -> None:
    """The whole PET still, in voxels by axis as declared; all three follow one affine."""
    pet = ball(PETS["oblique"], SHAPE, 10.0)
    ct = ball(affine_of((2.0, 2.0, 2.0), (-25.0, -28.0, -40.0)), (45, 40, 35), 400.0)
    case = case_with(
        tmp_path,
        PET=pet,
        CT=Volume(array=ct.array - 160, affine=ct.affine),
        MASK=ball(affine_of((3.0, 3.0, 3.0), (-25.0, -28.0, -40.0)), (30, 27, 24), 1.0),
    )
    prepared = prepare_case(case, Frame(spacing_mm=(4.0, 4.0, 5.0)), with_mask=True)
    spacing = np.linalg.norm(prepared.affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, (4.0, 4.0, 5.0))
    assert prepared.images.shape == (2, 15, 16, 13)
    assert prepared.images.dtype == np.float32
    assert prepared.mask is not None
    for says in (prepared.images[0] > 0.25, prepared.images[1] > 0.5, prepared.mask):
        assert says.sum() * 80.0 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.15)
        middle = prepared.affine @ [*np.argwhere(says).mean(axis=0), 1.0]
        np.testing.assert_allclose(middle[:3], [10, 5, -5], atol=1.5)
    assert prepared.size_bytes == prepared.images.nbytes + prepared.mask.nbytes
    again = prepare_case(case, Frame(spacing_mm=(4.0, 4.0, 5.0)))
    assert again.mask is None
    np.testing.assert_array_equal(again.images, prepared.images)


def test_a_shape_is_cut_and_padded_around_the_middle_of_the_body(tmp_path: Path) -> None:
    """Not around its bladder, nor the middle of the scanner; beyond PET and CT is air."""
    inside = (slice(6, 17), slice(10, 15), slice(2, 19))
    suv = body((30, 20, 20), trunk=inside, hot=(slice(6, 9), slice(10, 12), slice(2, 5)))
    affine = affine_of((4.0, 4.0, 4.0), (-50.0, -40.0, -30.0))
    ct = np.full((30, 20, 20), 40, np.float32)
    case = case_with(
        tmp_path, PET=Volume(array=suv, affine=affine), CT=Volume(array=ct, affine=affine)
    )
    assert body_centre(suv) == (11, 12, 10)
    prepared = prepare_case(case, Frame(shape=(13, 7, 25)))
    np.testing.assert_array_equal(
        prepared.images[0, :, :, 2:22], suv[5:18, 9:16, :].clip(0, 20) / np.float32(20)
    )
    assert not prepared.images[:, :, :, :2].any()
    assert not prepared.images[:, :, :, 22:].any()
    place = prepared.affine @ [0, 0, 2, 1]
    np.testing.assert_allclose(place, affine @ [5, 9, 0, 1], atol=1e-4)
    coarse = frame_grid(Volume(array=suv, affine=affine), Frame(spacing_mm=8.0, shape=(8, 6, 12)))
    middle = coarse.affine @ [4, 3, 6, 1]
    assert (np.abs(middle - affine @ [11, 12, 10, 1])[:3] <= 4.0 + 1e-9).all()


@pytest.mark.parametrize("side", [7, 8])
def test_a_box_of_the_body_s_size_holds_the_body(side: int) -> None:
    """Of an odd or even extent: nothing of it is cut, nothing else is in the box."""
    suv = np.zeros((20, 20, 20), np.float32)
    suv[5 : 5 + side, 6 : 6 + side, 7 : 7 + side] = 1.0
    volume = Volume(array=suv, affine=np.eye(4))
    grid = frame_grid(volume, Frame(shape=(side, side, side)))
    np.testing.assert_array_equal(grid.affine[:3, 3], [5, 6, 7])


def test_around_the_hottest_voxel_where_that_is_asked_for() -> None:
    """One noisy voxel is not a hot region."""
    suv = body((30, 20, 20), hot=(slice(6, 9), slice(10, 13), slice(2, 5)))
    suv[25, 5, 15] = 90.0
    assert hottest_voxel(suv) == (7, 11, 3)
    volume = Volume(array=suv, affine=np.diag([4.0, 4.0, 4.0, 1.0]))
    grid = frame_grid(volume, Frame(shape=(9, 9, 9), centre="hottest"))
    np.testing.assert_allclose(grid.affine[:3, 3], [12.0, 28.0, -4.0])


def test_without_uptake_the_middle_is_shown(tmp_path: Path) -> None:
    """An empty PET is no reason to show a corner; beyond the CT is air."""
    empty = Volume(array=np.zeros((9, 9, 9), np.float32), affine=np.diag([4.0, 4, 4, 1]))
    ct = Volume(array=np.full((9, 9, 9), 40, np.float32), affine=np.diag([4.0, 4, 4, 1]))
    case = case_with(tmp_path, PET=empty, CT=ct)
    inside = np.zeros((11, 11, 11), np.float32)
    inside[1:10, 1:10, 1:10] = 0.5
    for centre in ("body", "hottest"):
        frame = Frame(spacing_mm=4.0, shape=(11, 11, 11), centre=centre)
        np.testing.assert_allclose(prepare_case(case, frame).images[1], inside, atol=1e-6)


@pytest.mark.parametrize("frame", [Frame(), Frame(spacing_mm=5.0, shape=(24, 12, 16))])
def test_a_case_without_ct_stands_where_it_would_with_one(tmp_path: Path, frame: Frame) -> None:
    """PET, mask and grid are the same; in place of the CT are zeros, and it is said."""
    pet = ball(PETS["anisotropic"], SHAPE, 8.0)
    whole = case_with(
        tmp_path,
        PET=pet,
        CT=plane(affine_of((2.0, 2.0, 2.0), (-40.0, -40.0, -40.0)), (50, 45, 50)),
        MASK=ball(PETS["anisotropic"], SHAPE, 1.0),
    )
    alone = replace(whole, volumes={name: whole.volumes[name] for name in ("PET", "MASK")})
    one, other = (prepare_case(case, frame, with_mask=True) for case in (alone, whole))
    assert (one.presence, other.presence) == ((True, False), (True, True))
    np.testing.assert_array_equal(one.affine, other.affine)
    np.testing.assert_array_equal(one.images[0], other.images[0])
    assert one.mask is not None
    assert other.mask is not None
    np.testing.assert_array_equal(one.mask, other.mask)
    assert not one.images[1].any()
    assert other.images[1].any()


def test_a_case_without_pet_stands_on_the_grid_of_its_ct(tmp_path: Path) -> None:
    """Its voxels untouched, or at the spacing asked for; the mask follows, the PET is zeros."""
    affine = affine_of((2.0, 2.0, 3.0), (-30.0, -31.0, -32.0), turn=0.2)
    ct = ball(affine, (40, 40, 25), 300.0)
    case = case_with(tmp_path, CT=ct, MASK=ball(PETS["oblique"], SHAPE, 1.0))
    prepared = prepare_case(case, Frame(), with_mask=True)
    assert prepared.presence == (False, True)
    np.testing.assert_allclose(prepared.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(prepared.images[1], window_ct(ct.array))
    assert not prepared.images[0].any()
    assert prepared.mask is not None
    assert prepared.mask.sum() * 12.0 == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.1)
    coarse = prepare_case(case, Frame(spacing_mm=4.0))
    assert coarse.images.shape == (2, 20, 20, 19)


def test_of_what_has_neither_pet_nor_ct_nothing_can_be_prepared(tmp_path: Path) -> None:
    """A mask says where a lesion is, not what it looks like."""
    case = case_with(tmp_path, MASK=ball(PETS["oblique"], SHAPE, 1.0))
    with pytest.raises(DatasetError) as caught:
        prepare_case(case, Frame(), with_mask=True)
    assert (caught.value.code, caught.value.case) == ("missing_modality", "A")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("centre", ["body", "hottest"])
def test_without_pet_a_box_is_laid_around_the_body_on_the_ct(
    tmp_path: Path, centre: Literal["body", "hottest"]
) -> None:
    """As with one to within a voxel: the middle of the body, a CT shows no uptake."""
    write_cohort(SITES["ico-nantes"], tmp_path, num_cases=3, seed=4)
    frame = Frame(spacing_mm=8.0, shape=(12, 12, 16), centre=centre)
    body_frame = replace(frame, centre="body")
    for case in find_cases(tmp_path):
        alone = prepare_case(replace(case, volumes={"CT": case.volumes["CT"]}), frame)
        whole = prepare_case(case, body_frame)
        middles = [one.affine @ [6, 6, 8, 1] for one in (alone, whole)]
        assert np.abs(middles[0] - middles[1])[:3].max() <= 8.0
