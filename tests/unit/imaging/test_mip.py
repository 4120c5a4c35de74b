"""Projections: the brightest along each line of sight, from memory as from a file."""

from pathlib import Path

import numpy as np
import pytest

from fedmq.imaging.case_files import read_case, write_case
from fedmq.imaging.mip import View, mip
from fedmq.imaging.preprocessing import PreparedCase
from fedmq.imaging.stored import FULL, store_case


@pytest.mark.parametrize(("view", "axis"), [("coronal", 2), ("sagittal", 1)])
def test_a_view_has_the_brightest_voxel_of_each_line(tmp_path: Path, view: View, axis: int) -> None:
    """Of both images, by themselves; in a cache it lies ready."""
    images = np.random.default_rng(1).random((2, 5, 4, 3)).astype(np.float32)
    case = store_case(PreparedCase(images=images, mask=None, affine=np.eye(4)))
    seen = mip(case, view)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, images.max(axis=axis), atol=0.5 / FULL)
    write_case(tmp_path / "a.case", "key", case)
    kept = read_case(tmp_path / "a.case", "key")
    assert kept is not None
    np.testing.assert_array_equal(mip(kept, view), seen)
