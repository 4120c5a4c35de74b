"""Stored cases: rounded once, by less than half a step, and never again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedmq.imaging.marked import body_of
from fedmq.imaging.preprocessing import PreparedCase
from fedmq.imaging.stored import FULL, from_stored, store_case, to_stored

SHARES = st.floats(0.0, 1.0, width=32)
SIDES = arrays.array_shapes(min_dims=3, max_dims=3, max_side=6)


@st.composite
def cases(draw: st.DrawFn) -> PreparedCase:
    """Draw a case of any sides, with or without a mask."""
    sides = draw(SIDES)
    images = draw(arrays.arrays(np.float32, (2, *sides), elements=SHARES))
    mask = draw(st.none() | arrays.arrays(np.bool_, sides))
    return PreparedCase(images=images, mask=mask, affine=np.diag([4.0, 4.0, 3.0, 1.0]))


@given(cases())
def test_a_case_comes_back_to_half_a_step_and_the_second_time_exactly(case: PreparedCase) -> None:
    """What is stored of what was stored is the same: cold or warm, the bits are the same."""
    once = store_case(case).prepared()
    assert once.images.dtype == np.float32
    assert np.abs(once.images - case.images).max() <= 0.5 / FULL
    again = store_case(once).prepared()
    np.testing.assert_array_equal(again.images, once.images)
    np.testing.assert_array_equal(once.affine, case.affine)
    assert (once.mask is None) == (case.mask is None)
    if once.mask is not None:
        np.testing.assert_array_equal(once.mask, case.mask)


def test_the_ends_and_quarters_are_exact() -> None:
    """Nothing is lost of 0 and 1, of which windowed images mostly consist; beyond is cut."""
    given = np.float32([[[-0.5, 0.0, 0.25, 0.5, 1.0, 7.0]]])
    assert from_stored(to_stored(given))[0, 0].tolist() == [0.0, 0.0, 0.25, 0.5, 1.0, 1.0]


@given(cases())
def test_each_marked_voxel_is_found_by_its_number(case: PreparedCase) -> None:
    """In the order of the axes, as looking through the whole of the case would find them."""
    stored = store_case(case)
    mask = np.zeros(stored.images.shape[1:], np.bool_) if stored.mask is None else stored.mask
    for marked, marks in (
        (stored.lesion, mask),
        (stored.body, body_of(from_stored(stored.images))),
    ):
        expected = [tuple(int(i) for i in place) for place in np.argwhere(marks)]
        assert [marked.voxel(number) for number in range(len(marked))] == expected
