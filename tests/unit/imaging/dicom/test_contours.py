"""Contours: a voxel is inside if its centre is, by another way of telling."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.contours import Region, fill_region

SHAPE = (12, 10, 4)
AFFINE = np.array([[2.0, 0, 0, -8], [0, 3.0, 0, 5], [0, 0, 4.0, 100], [0, 0, 0, 1]])

coordinates = st.tuples(st.floats(-0.9, 11.4), st.floats(-0.9, 9.4))
outlines = st.lists(coordinates, min_size=3, max_size=9)


def region(*drawn: list[tuple[float, float]], number: int = 2) -> Region:
    """Return outlines given in voxels of one slice."""
    return Region(
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


@given(drawn=st.lists(outlines, min_size=1, max_size=3))
def test_inside_is_what_an_odd_number_of_outlines_surrounds(
    drawn: list[list[tuple[float, float]]],
) -> None:
    """Holes, crossings and outlines that touch; only the slice that was drawn on."""
    mask = fill_region(region(*drawn), AFFINE, SHAPE)
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
    """300 times the same: nothing is inside; once more, and it is."""
    square = [(0.5, 0.5), (4.5, 0.5), (4.5, 4.5), (0.5, 4.5)]
    assert not fill_region(region(*[square] * 300), AFFINE, SHAPE).any()
    assert fill_region(region(*[square] * 301), AFFINE, SHAPE).sum() == 16
