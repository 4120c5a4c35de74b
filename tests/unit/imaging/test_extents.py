"""Extents: the middle of the body on a CT, whatever lies around it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.imaging.extents import trunk_centre
from fedmq.imaging.volumes import Volume
from tests.support.fields import affine_of, places

SHAPE = (60, 60, 40)
AFFINE = affine_of((5.0, 5.0, 6.0), (-150.0, -150.0, -120.0))


def body_at(middle: tuple[float, float, float]) -> Volume:
    """Return an ellipsoid of tissue around `middle`, in mm, with air in it, in air."""
    away = places(AFFINE, SHAPE) - np.array(middle)
    radius = np.linalg.norm(away / np.array([80.0, 55.0, 90.0]), axis=-1)
    lungs = np.linalg.norm(away / np.array([50.0, 30.0, 40.0]), axis=-1) < 1
    hu = np.where(radius < 1, 40.0, -1000.0)
    return Volume(array=np.where(lungs, -800.0, hu).astype(np.float32), affine=AFFINE)


def found_mm(ct: Volume) -> np.ndarray:
    """Return the place of the voxel found."""
    return np.asarray((AFFINE @ [*trunk_centre(ct), 1.0])[:3])


@settings(deadline=None, max_examples=25)
@given(st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(-25, 25)))
def test_the_middle_is_the_body_s_wherever_it_lies(middle: tuple[float, float, float]) -> None:
    """To within one and a half coarse voxels of 8 mm, lungs or not."""
    assert np.abs(found_mm(body_at(middle)) - middle).max() <= 12.0


def test_table_and_arm_move_nothing() -> None:
    """A shell of 10 mm on which the body lies, and a small piece beside; both are dense."""
    ct = body_at((0.0, -70.0, 0.0))
    plain = found_mm(ct)
    array = ct.array.copy()
    array[:58, 5:7, :20] = 100.0  # the table, which reaches further to the left and downwards
    array[30, 6:9, 10] = 100.0  # and touches
    array[2:8, 30:38, :20] = 40.0  # an arm
    np.testing.assert_array_equal(found_mm(Volume(array=array, affine=AFFINE)), plain)


@pytest.mark.parametrize("hu", [-1000.0, 40.0])
def test_of_air_alone_and_of_tissue_alone_the_middle_is_the_volume_s(hu: float) -> None:
    """There is nothing else to go by."""
    volume = Volume(array=np.full((20, 30, 40), hu, np.float32), affine=AFFINE)
    assert np.abs(np.array(trunk_centre(volume)) - [10, 15, 20]).max() <= 1
