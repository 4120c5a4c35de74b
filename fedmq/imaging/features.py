"""Features: size, uptake and spread of what a case's mask marks. Pure.

SUVpeak is IBSI's global intensity peak (0F91), `suv_peak_at_max` its local one (VJGA): the mean of
the voxels whose centres lie within (3 / 4 pi)^(1/3) cm of a voxel's, in the mask or not. Beyond the
image there are none (IBSI reference manual, Zwanenburg et al., arXiv:1612.07003, local intensity
features). `diameter_mm` is IBSI's maximum 3D diameter (L0JK) between the centres of voxels, which
IBSI has between the vertices of a mesh around them. Dmax is the distance of the two lesions that
are furthest apart, by their centroids (Cottereau et al. 2020, J Nucl Med 61:40). A metabolic volume
takes in its threshold: 41 % of the highest SUV of the whole mask (Boellaard et al. 2015, EANM
guideline 2.0, Eur J Nucl Med 42:328), or a fixed SUV.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from fedmq.errors import DatasetError
from fedmq.imaging.feature_table import Features
from fedmq.imaging.preprocessing import resample_mask
from fedmq.imaging.resampling import grid_of
from fedmq.imaging.volumes import Volume

PEAK_RADIUS_MM: Final = 10.0 * (3.0 / (4.0 * math.pi)) ** (1.0 / 3.0)
SHARE_OF_MAX: Final = 0.41
LOW_SUV: Final = 2.5
HIGH_SUV: Final = 4.0
_ALL_NEIGHBOURS: Final = np.ones((3, 3, 3), np.bool_)
_PIECE: Final = 200_000
_FEW: Final = 64
"""Points that are compared each with each; of more, only those on their hull."""

Floats = NDArray[np.float64]


def measure(pet: Volume, mask: Volume) -> Features:
    """Return the features of what `mask` marks in `pet`, in SUV.

    A mask on another grid is brought to the PET's: voxels that it covers by half are marked.

    Raises:
        DatasetError: code mask_beside_pet: it marks something, and nothing of the PET. Zeros would
            tell of a patient without a lesion.
    """
    inside = resample_mask(mask, grid_of(pet))
    if mask.array.any() and not inside.any():
        raise DatasetError(
            "its mask marks no voxel of the PET",
            code="mask_beside_pet",
            why="it lies beside the PET, or covers less than half of each voxel",
            fix="look at it with fedmq node data check",
        )
    places = np.argwhere(inside)
    uptake = pet.array[inside].astype(np.float64)
    centres = _lesion_centres(inside, places, pet.affine)
    suv_max = float(uptake.max()) if len(uptake) else None
    peaks = _sphere_means(pet, places)
    # Of a mask without uptake, 41 % of nothing would be all of it.
    relative = SHARE_OF_MAX * suv_max if suv_max is not None and suv_max > 0.0 else math.inf
    mtv = {limit: uptake[uptake >= limit] * pet.voxel_ml for limit in (relative, LOW_SUV, HIGH_SUV)}
    return Features(
        suv_max=suv_max,
        suv_peak=float(peaks.max()) if len(peaks) else None,
        suv_peak_at_max=float(peaks[uptake == suv_max].max()) if len(peaks) else None,
        suv_mean=float(uptake.mean()) if len(uptake) else None,
        mask_ml=len(uptake) * pet.voxel_ml,
        mtv41_ml=len(mtv[relative]) * pet.voxel_ml,
        mtv_suv2_5_ml=len(mtv[LOW_SUV]) * pet.voxel_ml,
        mtv_suv4_ml=len(mtv[HIGH_SUV]) * pet.voxel_ml,
        tlg41=float(mtv[relative].sum()),
        tlg_suv2_5=float(mtv[LOW_SUV].sum()),
        tlg_suv4=float(mtv[HIGH_SUV].sum()),
        num_lesions=len(centres),
        dmax_mm=_largest_distance(centres),
        diameter_mm=_largest_distance(_to_mm(_ends_of_rows(places), pet.affine)),
    )


def _sphere_means(pet: Volume, places: NDArray[np.int_]) -> Floats:
    """Return the mean SUV in the sphere of 1 ml around each of `places` (n, 3), shape (n,)."""
    sphere, means = _sphere(pet.affine), np.zeros(len(places))
    # Piece by piece: a mask that marks everything by mistake would take gigabytes.
    for begin in range(0, len(places), _PIECE):
        piece = places[begin : begin + _PIECE]
        sums, counts = np.zeros(len(piece)), np.zeros(len(piece), np.int_)
        for step in sphere:
            near = piece + step
            is_there = ((near >= 0) & (near < pet.array.shape)).all(axis=1)
            sums[is_there] += pet.array[tuple(near[is_there].T)]
            counts += is_there
        means[begin : begin + _PIECE] = sums / counts
    return means


def _sphere(affine: Floats) -> NDArray[np.int_]:
    """Return the steps in voxels to those within the radius of 1 ml, shape (n, 3)."""
    # A voxel within the radius is at most so many steps away along an axis, oblique or not.
    reach = np.floor(PEAK_RADIUS_MM * np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1))
    steps = np.array(list(np.ndindex(*(int(one) * 2 + 1 for one in reach)))) - reach.astype(int)
    distances = np.linalg.norm(steps @ affine[:3, :3].T, axis=1)
    return np.asarray(steps[distances <= PEAK_RADIUS_MM])


def _lesion_centres(inside: NDArray[np.bool_], places: NDArray[np.int_], affine: Floats) -> Floats:
    """Return the centroid in mm of each connected part, shape (n, 3)."""
    labels, count = ndimage.label(inside, structure=_ALL_NEIGHBOURS)
    of_place = labels[inside] - 1
    sizes = np.bincount(of_place, minlength=count)
    sums = [np.bincount(of_place, weights=axis, minlength=count) for axis in places.T]
    return _to_mm(np.stack(sums, axis=1) / sizes[:, None], affine)


def _ends_of_rows(places: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return the first and last voxel of each row along z: those furthest apart are among them."""
    is_new = np.ones(len(places) + 1, np.bool_)
    is_new[1:-1] = (places[1:, :2] != places[:-1, :2]).any(axis=1)
    return np.asarray(places[is_new[:-1] | is_new[1:]])


def _to_mm(places: NDArray[np.int_] | Floats, affine: Floats) -> Floats:
    return np.asarray(places @ affine[:3, :3].T + affine[:3, 3], dtype=np.float64)


def _largest_distance(points: Floats) -> float:
    """Return the largest distance between two of `points` (n, 3) in mm; of fewer than two 0."""
    if len(points) > _FEW:
        # QJ: points in one plane, as of a mask on one slice, have a hull too.
        points = points[ConvexHull(points, qhull_options="QJ").vertices]
    return float(pdist(points).max()) if len(points) > 1 else 0.0
