"""Contours: a voxel is inside if its centre is, by another way of telling."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.contours import Region, fill_region

SHAPE = (12, 10, 4)
AFFINE = np.array([[2.0, 0, 0, -8], [0, 3.0, 0, 5], [0, 0, 4.0, 100], [0, 0, 0, 1]])

coordinates = st.tuples(st.floats(-0.9, 11.4), st.floats(-0.9, 9.4))
Outline = list[tuple[float, float]]
outlines = st.lists(coordinates, min_size=3, max_size=9)


def region(*drawn: list[tuple[float, float]], number: int = 2, is_xor: bool = False) -> Region:
    """Return outlines given in voxels of one slice."""
    return Region(
        is_xor=is_xor,
        contours=tuple(
            np.array([(*one, number, 1) for one in outline]) @ AFFINE.T[:, :3] for outline in drawn
        ),
    )


def winding(outline: list[tuple[float, float]], x: float, y: float) -> bool | None:
    """Return whether a point is inside by the angles to the corners; None near the outline."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(outline, [*outline[1:], outline[0]], strict=True):
        length = math.hypot(x1 - x0, y1 - y0)
        along = 0.0 if length < 1e-9 else ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length**2
        along = min(1.0, max(0.0, along))
        if math.hypot(x0 + along * (x1 - x0) - x, y0 + along * (y1 - y0) - y) < 1e-6:
            return None
        turn = math.atan2(y1 - y, x1 - x) - math.atan2(y0 - y, x0 - x)
        total += math.remainder(turn, 2 * math.pi)
    return round(total / (2 * math.pi)) % 2 == 1


@settings(deadline=None)
@given(drawn=st.lists(outlines, min_size=1, max_size=3))
def test_inside_is_what_an_odd_number_of_outlines_surrounds(
    drawn: list[list[tuple[float, float]]],
) -> None:
    """Where they exclude each other: holes, crossings, outlines that touch; one slice only."""
    mask = fill_region(region(*drawn, is_xor=True), AFFINE, SHAPE)
    assert not np.delete(mask, 2, axis=2).any()
    for x in range(0, SHAPE[0], 2):
        for y in range(0, SHAPE[1], 2):
            inside = [winding(one, x, y) for one in drawn]
            if None not in inside:
                assert mask[x, y, 2] == (sum(map(bool, inside)) % 2 == 1)


def test_a_ring_has_a_hole_and_a_keyhole_outline_the_same() -> None:
    """Two outlines, or one that is cut open to its hole."""
    outer = [(0.5, 0.5), (8.5, 0.5), (8.5, 8.5), (0.5, 8.5)]
    inner = [(3.5, 3.5), (5.5, 3.5), (5.5, 5.5), (3.5, 5.5)]
    ring = fill_region(region(outer, inner), AFFINE, SHAPE)
    assert ring.sum() == 8 * 8 - 2 * 2
    keyhole = [*outer, outer[0], inner[0], *inner[::-1], outer[0]]
    np.testing.assert_array_equal(fill_region(region(keyhole), AFFINE, SHAPE), ring)


def square(low: float, high: float, *, y: tuple[float, float] | None = None) -> Outline:
    """Return a box, in voxels."""
    bottom, top = y or (low, high)
    return [(low, bottom), (high, bottom), (high, top), (low, top)]


def test_outlines_that_overlap_are_united_and_those_that_stand_twice_count_once() -> None:
    """Whatever point they begin with; a hole that stands twice is one too."""
    left, right = square(0.5, 5.5), square(3.5, 8.5, y=(0.5, 5.5))
    both = fill_region(region(left, right), AFFINE, SHAPE)
    np.testing.assert_array_equal(
        both, fill_region(region(square(0.5, 8.5, y=(0.5, 5.5))), AFFINE, SHAPE)
    )
    for again in (left, left[::-1], [*left[2:], *left[:2]], [(x + 1e-7, y) for x, y in left]):
        np.testing.assert_array_equal(fill_region(region(left, again, right), AFFINE, SHAPE), both)
    hole = square(1.5, 3.5)
    once = fill_region(region(left, hole), AFFINE, SHAPE)
    assert once.sum() == 25 - 4
    np.testing.assert_array_equal(fill_region(region(hole, left, hole), AFFINE, SHAPE), once)


def test_an_outline_within_a_hole_is_an_island_and_holes_may_overlap() -> None:
    """In any order."""
    outer, hole, island = square(0.5, 9.4), square(1.5, 8.5), square(3.5, 5.5)
    for drawn in ((outer, hole, island), (island, outer, hole)):
        assert fill_region(region(*drawn), AFFINE, SHAPE).sum() == 81 - 49 + 4
    other = square(4.5, 7.5)
    holes = fill_region(region(outer, island, other), AFFINE, SHAPE)
    assert holes.sum() == 81 - (4 + 9 - 1)


@settings(deadline=None)
@given(outline=outlines)
def test_one_outline_is_the_same_whichever_way_several_would_combine(
    outline: list[tuple[float, float]],
) -> None:
    """Keyholes and outlines that cross themselves, too."""
    plain, exclusive = (
        fill_region(region(outline, is_xor=one), AFFINE, SHAPE) for one in (False, True)
    )
    np.testing.assert_array_equal(plain, exclusive)


def test_neighbours_share_no_voxel_and_leave_none_out() -> None:
    """A centre on a common edge is in one of them."""
    left = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]
    right = [(4.0, 0.0), (8.0, 0.0), (8.0, 4.0), (4.0, 4.0)]
    one, other, both = (
        fill_region(region(outline), AFFINE, SHAPE)
        for outline in (left, right, [(0.0, 0.0), (8.0, 0.0), (8.0, 4.0), (0.0, 4.0)])
    )
    assert not (one & other).any()
    np.testing.assert_array_equal(one | other, both)


def moved(by: NDArray[np.float64] | list[float]) -> Region:
    """Return a square that was moved by millimetres."""
    (contour,) = region([(1.0, 1.0), (5.0, 1.0), (5.0, 5.0)]).contours
    return Region(contours=(contour + np.array(by),))


@pytest.mark.parametrize(
    "wrong",
    [
        moved([0, 0, 1.9]),
        moved([0, 0, 40]),
        moved([0, 0, -40]),
        moved([100, 0, 0]),
        moved([0, -100, 0]),
        moved(np.array([[0, 0, 0], [0, 0, 0], [0, 0, 4.0]])),
    ],
    ids=["between slices", "above", "below", "beside", "behind", "across slices"],
)
def test_outlines_that_are_of_other_images_are_refused(wrong: Region) -> None:
    """They would be cut off or shifted."""
    with pytest.raises(DatasetError) as caught:
        fill_region(wrong, AFFINE, SHAPE)
    assert caught.value.code == "contour_off_grid"


def test_an_outline_that_goes_to_and_fro_without_end_is_refused_in_little_memory() -> None:
    """Half a megabyte of points would cross ten million rows, each in several arrays."""
    points = np.zeros((20_000, 3))
    points[:, 0] = np.linspace(0, 500, len(points))
    points[1::2, 1] = 510
    tracemalloc.start()
    with pytest.raises(DatasetError) as caught:
        fill_region(Region(contours=(points,)), np.eye(4), (512, 512, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "bad_mask"
    assert peak < 20_000_000


def test_any_number_of_outlines_on_one_slice_is_counted_right() -> None:
    """Of 300 that exclude each other nothing is left, of 301 one; else they are all the same."""
    drawn = [square(0.5, 4.5)] * 300
    assert not fill_region(region(*drawn, is_xor=True), AFFINE, SHAPE).any()
    for is_xor in (True, False):
        one_more = region(*drawn, drawn[0], is_xor=is_xor)
        assert fill_region(one_more, AFFINE, SHAPE).sum() == 16
