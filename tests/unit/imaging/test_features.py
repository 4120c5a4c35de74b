"""Features against their definitions, counted one voxel after the other."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.feature_table import Features
from fedmq.imaging.features import measure
from fedmq.imaging.volumes import Volume

SIZED = ("mask_ml", "mtv41_ml", "mtv_suv2_5_ml", "mtv_suv4_ml")
UPTAKES = ("suv_max", "suv_peak", "suv_peak_at_max", "suv_mean")
LENGTHS = ("dmax_mm", "diameter_mm")

spacings = st.tuples(*[st.floats(1.5, 7.0)] * 3)


def volume(array: NDArray[np.generic], spacing_mm: tuple[float, float, float]) -> Volume:
    """Return a volume that begins at a place of its own."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = (11.0, -7.0, 3.0)
    return Volume(array=np.asarray(array, np.float32), affine=affine)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Volume, Volume]:
    """Return a PET and a mask on its grid, both by chance."""
    shape = draw(st.tuples(*[st.integers(1, 6)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spacing = draw(spacings)
    pet = rng.gamma(2.0, 2.0, shape)
    mask = rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    return volume(pet, spacing), volume(mask, spacing)


def by_hand(pet: Volume, mask: Volume) -> dict[str, float | None]:
    """Return the features by their definitions, in loops."""
    places = [tuple(place) for place in np.argwhere(mask.array > 0)]
    everywhere = list(np.ndindex(*pet.array.shape))
    spot = {place: pet.affine[:3, :3] @ place + pet.affine[:3, 3] for place in everywhere}
    suv = {place: float(pet.array[place]) for place in everywhere}

    def peak(middle: tuple[int, ...]) -> float:
        radius = 10 * (3 / (4 * math.pi)) ** (1 / 3)
        near = [one for one in everywhere if math.dist(spot[one], spot[middle]) <= radius]
        return sum(suv[one] for one in near) / len(near)

    lesions: list[set[tuple[int, ...]]] = []
    for place in places:
        touched = [
            one
            for one in lesions
            if any(max(abs(a - b) for a, b in zip(place, other, strict=True)) <= 1 for other in one)
        ]
        lesions = [one for one in lesions if one not in touched]
        lesions.append(set().union({place}, *touched))
    centres = [np.mean([spot[place] for place in one], axis=0) for one in lesions]
    highest = max((suv[place] for place in places), default=None)
    found: dict[str, float | None] = {
        "suv_max": highest,
        "suv_peak": max(map(peak, places), default=None),
        "suv_peak_at_max": max(
            (peak(place) for place in places if suv[place] == highest), default=None
        ),
        "suv_mean": sum(suv[place] for place in places) / len(places) if places else None,
        "mask_ml": len(places) * pet.voxel_ml,
        "num_lesions": len(lesions),
        "dmax_mm": max((math.dist(a, b) for a in centres for b in centres), default=0.0),
        "diameter_mm": max(
            (math.dist(spot[a], spot[b]) for a in places for b in places), default=0
        ),
    }
    for volume_name, glycolysis, limit in (
        ("mtv41_ml", "tlg41", 0.41 * (highest or math.inf)),
        ("mtv_suv2_5_ml", "tlg_suv2_5", 2.5),
        ("mtv_suv4_ml", "tlg_suv4", 4.0),
    ):
        active = [suv[place] for place in places if suv[place] >= limit]
        ml = len(active) * pet.voxel_ml
        found |= {volume_name: ml, glycolysis: ml * sum(active) / len(active) if active else 0.0}
    return found


def require_equal(one: Features, other: dict[str, float | None]) -> None:
    """Raise unless all features are equal but for rounding."""
    assert asdict(one).keys() == other.keys()
    for name, number in asdict(one).items():
        expected = other[name]
        close = None if expected is None else pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert number == close, name


@settings(max_examples=60, deadline=None)
@given(cases())
def test_features_equal_their_definitions(case: tuple[Volume, Volume]) -> None:
    """Each of them, counted in loops; of an empty mask there are volumes and no uptake."""
    require_equal(measure(*case), by_hand(*case))


@settings(max_examples=40, deadline=None)
@given(cases(), st.permutations(range(3)), st.sets(st.integers(0, 2)), st.floats(0.0, 2 * math.pi))
def test_a_patient_turned_or_stored_in_another_order_has_the_same_features(
    case: tuple[Volume, Volume], order: list[int], flips: set[int], angle: float
) -> None:
    """Axes exchanged and flipped, the affine along with them, and all of it turned in the room."""
    cos, sin = math.cos(angle), math.sin(angle)
    room = np.array([[cos, -sin, 0, 5], [sin, cos, 0, 0], [0, 0, 1, -9], [0, 0, 0, 1.0]])

    def turned(one: Volume) -> Volume:
        array, affine = one.array.transpose(order), one.affine[:, [*order, 3]].copy()
        for axis in flips:
            array = np.flip(array, axis)
            affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
            affine[:3, axis] *= -1
        return Volume(array=np.ascontiguousarray(array), affine=room @ affine)

    pet, mask = case
    require_equal(measure(turned(pet), turned(mask)), asdict(measure(pet, mask)))


@settings(max_examples=30, deadline=None)
@given(cases(), st.sampled_from([0.25, 2.0, 8.0]))
def test_twice_the_uptake_is_twice_each_suv_and_the_same_relative_volume(
    case: tuple[Volume, Volume], times: float
) -> None:
    """A power of two: nothing is rounded. Volumes at a fixed SUV change."""
    pet, mask = case
    one = asdict(measure(pet, mask))
    other = asdict(measure(Volume(array=pet.array * times, affine=pet.affine), mask))
    for name in (*UPTAKES, "tlg41"):
        assert other[name] == (None if one[name] is None else pytest.approx(one[name] * times))
    for name in ("mask_ml", "mtv41_ml", "num_lesions", *LENGTHS):
        assert other[name] == one[name]


@settings(max_examples=30, deadline=None)
@given(cases(), st.floats(0.5, 2.0))
def test_a_larger_patient_has_longer_distances_and_larger_volumes(
    case: tuple[Volume, Volume], times: float
) -> None:
    """By the first and the third power; SUVpeak alone depends on the voxels' size."""
    pet, mask = case
    wide = np.diag([times, times, times, 1.0])
    one = asdict(measure(pet, mask))
    other = asdict(
        measure(
            Volume(array=pet.array, affine=wide @ pet.affine),
            Volume(array=mask.array, affine=wide @ mask.affine),
        )
    )
    for name in LENGTHS:
        assert other[name] == pytest.approx(one[name] * times)
    for name in SIZED:
        assert other[name] == pytest.approx(one[name] * times**3)


@settings(max_examples=30, deadline=None)
@given(cases(), cases())
def test_of_two_patients_in_one_image_sizes_add_up(
    one: tuple[Volume, Volume], other: tuple[Volume, Volume]
) -> None:
    """Apart from each other: volumes at fixed thresholds, glycolysis, lesions."""
    shapes = np.array([one[0].array.shape, other[0].array.shape])
    shape = (*shapes[:, :2].max(axis=0), shapes[:, 2].sum() + 6)
    spacing = one[0].spacing_mm

    def beside(a: Volume, b: Volume) -> Volume:
        array = np.zeros(shape, np.float32)
        x, y, z = a.array.shape
        array[:x, :y, :z] = a.array
        x, y, z = b.array.shape
        array[:x, :y, shape[2] - z :] = b.array
        return volume(array, spacing)

    first = measure(*one)
    second = measure(*(volume(array.array, spacing) for array in other))
    both = measure(beside(one[0], other[0]), beside(one[1], other[1]))
    for name in (
        "mask_ml",
        "mtv_suv2_5_ml",
        "mtv_suv4_ml",
        "tlg_suv2_5",
        "tlg_suv4",
        "num_lesions",
    ):
        total = getattr(first, name) + getattr(second, name)
        assert getattr(both, name) == pytest.approx(total, rel=1e-4), name
    highest = [one for one in (first.suv_max, second.suv_max) if one is not None]
    assert both.suv_max == (max(highest) if highest else None)
    assert both.dmax_mm >= max(first.dmax_mm, second.dmax_mm) - 1e-6


def test_two_voxels_that_share_a_corner_are_one_lesion_and_two_apart_are_two() -> None:
    """And Dmax is between centres: 0 for one, by the spacing for two."""
    mask = np.zeros((5, 5, 5))
    mask[0, 0, 0] = mask[1, 1, 1] = 1
    pet = volume(np.ones(mask.shape), (2.0, 3.0, 4.0))
    together = measure(pet, volume(mask, (2.0, 3.0, 4.0)))
    assert (together.num_lesions, together.dmax_mm) == (1, 0.0)
    mask[1, 1, 1], mask[4, 0, 0] = 0, 1
    apart = measure(pet, volume(mask, (2.0, 3.0, 4.0)))
    assert (apart.num_lesions, apart.dmax_mm, apart.diameter_mm) == (2, 8.0, 8.0)


@pytest.mark.parametrize("shape", [(20, 30, 1), (1, 100, 1), (9, 9, 9)])
def test_the_diameter_of_many_voxels_is_between_the_corners(shape: tuple[int, int, int]) -> None:
    """Of a mask on one slice, in one row, and a box: more than are compared each with each."""
    spacing = (2.0, 3.0, 4.0)
    full = volume(np.ones(shape), spacing)
    expected = math.dist((0, 0, 0), [(n - 1) * mm for n, mm in zip(shape, spacing, strict=True)])
    assert measure(full, full).diameter_mm == pytest.approx(expected)


def test_a_mask_without_uptake_has_no_relative_volume() -> None:
    """41 % of nothing is nothing: not all of the mask."""
    full = volume(np.ones((3, 3, 3)), (4.0, 4.0, 4.0))
    nothing = measure(volume(np.zeros((3, 3, 3)), (4.0, 4.0, 4.0)), full)
    assert (nothing.suv_max, nothing.mtv41_ml, nothing.tlg41) == (0.0, 0.0, 0.0)
    assert nothing.mask_ml == pytest.approx(27 * 0.064)


def test_a_mask_on_a_finer_grid_is_brought_to_the_pets() -> None:
    """As drawn on a CT: a voxel that it covers by half or more is marked."""
    pet = volume(np.arange(64).reshape(4, 4, 4), (4.0, 4.0, 4.0))
    fine = np.zeros((8, 8, 8))
    fine[2:6, 2:6, 2:6] = 2  # a label, not a flag
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = pet.affine[:3, 3] - 1.0
    found = measure(pet, Volume(array=np.asarray(fine, np.float32), affine=affine))
    assert found.mask_ml == pytest.approx(8 * 0.064)
    assert found.suv_max == pet.array[1:3, 1:3, 1:3].max()


@pytest.mark.parametrize("place", [(500.0, 0.0, 0.0), (1.0, 1.0, 1.0)])
def test_a_mask_that_marks_nothing_of_its_pet_is_no_patient_without_a_lesion(
    place: tuple[float, float, float],
) -> None:
    """Beside the PET, or smaller than half a voxel; one that marks nothing at all is."""
    pet = volume(np.ones((5, 5, 5)), (4.0, 4.0, 4.0))
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = np.add(pet.affine[:3, 3], place)
    mask = np.zeros((4, 4, 4), np.float32)
    assert measure(pet, Volume(array=mask, affine=affine)).mask_ml == 0.0
    mask[:2, 0, 0] = 1.0
    with pytest.raises(DatasetError) as caught:
        measure(pet, Volume(array=mask, affine=affine))
    assert caught.value.code == "mask_beside_pet"
