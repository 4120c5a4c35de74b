"""Stacks: any order of slices makes the one volume they are, or is refused by name."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedmq.errors import DatasetError
from fedmq.imaging.dicom.series import as_volume
from fedmq.imaging.dicom.stacks import Slice, stack_slices

AXIAL = np.eye(3)


def slices(
    axes: NDArray[np.float64] = AXIAL,
    spacing: tuple[float, float, float] = (4.0, 3.0, 2.0),
    origin: tuple[float, float, float] = (-10.0, 20.0, -300.0),
    count: int = 5,
) -> list[Slice]:
    """Return slices in order; spacing is between columns, rows and slices."""
    return [
        Slice(
            sop_uid=f"1.2.{number}",
            digest=f"{number:064}",
            frame_of_reference="1.9",
            position_mm=tuple(np.array(origin) + axes[:, 2] * spacing[2] * number),
            orientation=tuple(axes[:, :2].T.ravel()),
            spacing_mm=(spacing[1], spacing[0]),
            num_rows=6,
            num_columns=7,
            group=("", ""),
        )
        for number in range(count)
    ]


@st.composite
def rotations(draw: st.DrawFn) -> NDArray[np.float64]:
    """Return any three right-handed axes."""
    q = np.array([draw(st.floats(-1, 1)) for _ in range(4)])
    norm = np.linalg.norm(q)
    w, x, y, z = q / norm if norm > 0.1 else np.array([1.0, 0, 0, 0])
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


@settings(deadline=None)
@given(
    axes=rotations(),
    spacing=st.tuples(*[st.floats(0.5, 9)] * 3),
    origin=st.tuples(*[st.floats(-900, 900)] * 3),
    order=st.permutations(range(5)),
    turn=st.booleans(),
)
def test_every_voxel_keeps_its_place_in_the_patient(
    axes: NDArray[np.float64],
    spacing: tuple[float, float, float],
    origin: tuple[float, float, float],
    order: list[int],
    turn: bool,  # noqa: FBT001 - drawn
) -> None:
    """PS3.3 C.7.6.2.1.1: position + row * column spacing * i + column * row spacing * j.

    Oblique, flipped and anisotropic; from head to feet or the other way; in RAS, and in the
    order of axes that is nearest to it.
    """
    made = slices(axes, spacing, origin)
    if turn:
        made = [
            dataclasses.replace(
                one, position_mm=tuple(np.array(origin) - axes[:, 2] * spacing[2] * number)
            )
            for number, one in enumerate(made)
        ]
    shuffled = [made[index] for index in order]
    stack = stack_slices(shuffled)
    array = np.arange(7 * 6 * 5, dtype=np.float32).reshape(7, 6, 5)
    volume = as_volume(array, stack)
    for i, j, k in ((0, 0, 0), (6, 5, 4), (2, 5, 1)):
        one = shuffled[stack.order[k]]
        row, column = np.array(one.orientation[:3]), np.array(one.orientation[3:])
        lps = np.array(one.position_mm) + row * spacing[0] * i + column * spacing[1] * j
        (voxel,) = np.argwhere(volume.array == array[i, j, k])
        ras = (volume.affine @ [*voxel, 1])[:3]
        np.testing.assert_allclose(ras, lps * [-1, -1, 1], atol=1e-6)
    directions = volume.affine[:3, :3] / volume.spacing_mm
    if (np.abs(directions).max(axis=0) > 0.8).all():
        assert (np.diag(directions) > 0.8).all()


def test_a_copy_byte_for_byte_is_left_out_and_told() -> None:
    """The same slice exported twice."""
    made = slices()
    stack = stack_slices([*made, made[2]])
    assert stack.duplicates == (5,)
    assert stack.order == (0, 1, 2, 3, 4)


Breaking = Callable[[list[Slice]], list[Slice]]


def change(number: int, **told: object) -> Breaking:
    """Return what changes one slice."""
    return lambda made: [
        dataclasses.replace(one, **told) if index == number else one  # type: ignore[arg-type]
        for index, one in enumerate(made)
    ]


def sheared(made: list[Slice]) -> list[Slice]:
    """Return the slices of a gantry tilted by two degrees."""
    tilt = np.tan(np.radians(2)) * 2.0
    return [
        dataclasses.replace(one, position_mm=tuple(np.add(one.position_mm, [0, tilt * number, 0])))
        for number, one in enumerate(made)
    ]


BROKEN: dict[str, tuple[str, Breaking]] = {
    "a slice lacks": ("gap", lambda made: made[:2] + made[3:]),
    "a slice moved": ("gap", change(2, position_mm=(-10.0, 20.0, -295.5))),
    "two in one place": (
        "duplicate_slice",
        lambda made: [*made, *change(2, sop_uid="1.3")(made)[2:3]],
    ),
    "one uid, two contents": (
        "duplicate_slice",
        lambda made: [*made, *change(2, digest="f" * 64)(made)[2:3]],
    ),
    "gantry": ("sheared", sheared),
    "one aside": ("sheared", change(3, position_mm=(-9.0, 20.0, -294.0))),
    "other size": ("mixed_series", change(1, num_rows=8)),
    "other direction": ("mixed_series", change(1, orientation=(0.0, 1.0, 0.0, -1.0, 0.0, 0.0))),
    "slightly turned": (
        "mixed_series",
        change(1, orientation=(0.99995, 0.01, 0.0, -0.01, 0.99995, 0.0)),
    ),
    "other spacing": ("mixed_series", change(1, spacing_mm=(3.0, 4.1))),
    "other frame": ("mixed_series", change(4, frame_of_reference="1.8")),
    "other stack": ("mixed_series", change(4, group=("2", ""))),
    "other time": ("mixed_series", change(4, group=("", "2"))),
    "no position": ("no_position", change(0, position_mm=())),
    "no orientation": ("no_position", change(0, orientation=())),
    "no spacing": ("bad_spacing", change(0, spacing_mm=())),
    "zero spacing": ("bad_spacing", change(0, spacing_mm=(0.0, 4.0))),
    "far away": ("no_position", change(0, position_mm=(1e9, 0.0, 0.0))),
    "not at right angles": ("bad_orientation", change(0, orientation=(1.0, 0, 0, 0.5, 0.5, 0))),
    "no direction": ("bad_orientation", change(0, orientation=(0.0,) * 6)),
    "single": ("too_few_slices", lambda made: made[:1]),
    "its copy": ("too_few_slices", lambda made: [made[0], made[0]]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_volume_is_refused_by_name(what: str) -> None:
    """With why and what to do."""
    code, breaking = BROKEN[what]
    with pytest.raises(DatasetError) as caught:
        stack_slices(breaking(slices()))
    assert caught.value.code == code
    assert caught.value.why
    assert caught.value.fix


def test_a_volume_that_no_memory_holds_is_refused_before_it_is_made() -> None:
    """Headers may claim any size."""
    huge = [dataclasses.replace(one, num_rows=8192, num_columns=8192) for one in slices(count=9)]
    with pytest.raises(DatasetError) as caught:
        stack_slices(huge)
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(("later_mm", "is_even"), [(2.055, False), (2.0005, True)])
def test_steps_that_change_in_between_add_up(later_mm: float, is_even: bool) -> None:  # noqa: FBT001 - of a table
    """Each step is as usual, and a slice in the middle would lie millimetres from its voxels."""
    made = slices(count=300)
    depths = np.cumsum([0.0, *[2.0] * 149, *[later_mm] * 150])
    moved = [
        dataclasses.replace(one, position_mm=(-10.0, 20.0, depth))
        for one, depth in zip(made, depths, strict=True)
    ]
    if is_even:
        stack = stack_slices(moved)
        places = stack.affine[2, 2] * np.arange(300)
        assert np.abs(places - depths).max() < 0.2
        return
    with pytest.raises(DatasetError) as caught:
        stack_slices(moved)
    assert caught.value.code == "gap"
    assert "4.1" in caught.value.why


@settings(deadline=None)
@given(jitter=st.lists(st.floats(-0.004, 0.004), min_size=5, max_size=5))
def test_rounded_positions_are_no_gap(jitter: list[float]) -> None:
    """Headers hold a few digits."""
    made = [
        dataclasses.replace(one, position_mm=(-10.0, 20.0 + shift, one.position_mm[2] + shift))
        for one, shift in zip(slices(), jitter, strict=True)
    ]
    assert stack_slices(made).shape == (7, 6, 5)
