"""Resampling equals MONAI's ResampleToMatch, within the volume."""

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms.spatial.array import ResampleToMatch
from numpy.typing import NDArray

from fedmq.imaging.resampling import Grid, resample
from fedmq.imaging.volumes import Volume
from tests.support.fields import affine_of, places

pytestmark = pytest.mark.training

SOURCES = {
    "anisotropic": affine_of((1.0, 2.0, 3.3), (-30.0, -31.0, -32.0)),
    "flipped": affine_of((-1.0, -2.0, 3.3), (30.0, 29.0, -32.0)),
    "oblique": affine_of((1.0, 2.0, 3.3), (-20.0, -36.0, -32.0), turn=0.2),
    "shifted": affine_of((1.7, 1.7, 2.9), (-41.3, -22.9, -30.1)),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("turn", [0.0, -0.1])
def test_noise_on_another_grid_is_as_monai_has_it(name: str, turn: float) -> None:
    """To float32's rounding of places, in CT numbers of noise; MONAI goes on to the rim."""
    rng = np.random.default_rng(1)
    array = rng.uniform(-1000.0, 2000.0, (61, 31, 20)).astype(np.float32)
    grid = Grid(affine=affine_of((1.5, 2.5, 4.0), (-9.0, -8.0, -9.0), turn=turn), shape=(8, 7, 6))
    source = SOURCES[name]
    made = ResampleToMatch(mode="bilinear", padding_mode="border", align_corners=True)(
        _image(array, source), _image(np.zeros(grid.shape, np.float32), grid.affine)
    )
    inside = places(np.linalg.inv(source) @ grid.affine, grid.shape)
    clear = ((inside > 0) & (inside < np.array(array.shape) - 1)).all(axis=-1)
    assert clear.mean() > 0.9
    ours = resample(Volume(array=array, affine=source), grid)
    np.testing.assert_allclose(ours[clear], np.asarray(made)[0][clear], atol=0.5)


def _image(array: NDArray[np.float32], affine: NDArray[np.float64]) -> MetaTensor:
    return MetaTensor(torch.from_numpy(array[np.newaxis]), affine=torch.from_numpy(affine))
