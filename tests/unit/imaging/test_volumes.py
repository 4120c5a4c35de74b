"""Volumes from files: geometry kept, and each kind of bad file named."""

import errno
import gzip
import os
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fedmq.errors import DatasetError
from fedmq.imaging.cases import Case
from fedmq.imaging.volumes import Volume, load_volume, save_volume

LPS = np.diag([-4.0, -4.0, 3.0, 1.0])


def write(path: Path, array: NDArray[np.generic], affine: NDArray[np.float64]) -> Path:
    """Write a NIfTI file with an affine that nibabel itself would not question."""
    image = nibabel.Nifti1Image(array, None)
    image.header.set_sform(affine, code=1)
    nibabel.save(image, path)
    return path


def code_of(path: Path) -> str:
    """Return the code of the error that loading `path` raises."""
    with pytest.raises(DatasetError) as caught:
        load_volume(path)
    assert str(path.parent) not in str(caught.value)
    return caught.value.code


def test_a_volume_comes_in_ras_with_every_voxel_at_its_place(tmp_path: Path) -> None:
    """The millimetre position of a marked voxel is the same before and after the turn."""
    array = np.zeros((5, 6, 7), np.float32)
    array[1, 2, 3] = 9.0
    volume = load_volume(write(tmp_path / "pet.nii.gz", array, LPS))
    place = np.argwhere(volume.array == 9.0)[0]
    assert nibabel.aff2axcodes(volume.affine) == ("R", "A", "S")
    np.testing.assert_allclose(volume.affine @ [*place, 1], LPS @ np.array([1, 2, 3, 1]), atol=1e-6)
    assert volume.spacing_mm == pytest.approx((4.0, 4.0, 3.0))
    assert volume.voxel_ml == pytest.approx(0.048)
    assert volume.array.dtype == np.float32


def test_integers_with_a_scale_come_in_their_units(tmp_path: Path) -> None:
    """Slope and intercept of the file are applied: stored 1024 is 0 HU."""
    image = nibabel.Nifti1Image(np.full((2, 2, 2), 1024, np.int16), LPS)
    image.header.set_slope_inter(1.0, -1024.0)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(load_volume(tmp_path / "ct.nii.gz").array, 0.0)


def test_an_axis_of_one_at_the_end_is_dropped(tmp_path: Path) -> None:
    """A static series written as one frame is a volume."""
    path = write(tmp_path / "pet.nii.gz", np.ones((3, 4, 5, 1), np.float32), LPS)
    assert load_volume(path).array.shape == (3, 4, 5)


class _Closed(type(Path())):  # type: ignore[misc]
    """A file that this user may not read: tests may run as one who may read all."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Refuse."""
        raise PermissionError(errno.EACCES, f"no {follow_symlinks}")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    """It says who may not, and no other case suffers."""
    assert code_of(_Closed(tmp_path / "pet.nii.gz")) == "unreadable"


def test_several_frames_are_no_volume(tmp_path: Path) -> None:
    """A dynamic series is refused, not averaged."""
    path = write(tmp_path / "dynamic.nii.gz", np.ones((3, 4, 5, 2), np.float32), LPS)
    assert code_of(path) == "not_3d"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Missing is not corrupt."""
    assert code_of(tmp_path / "ct.nii.gz") == "missing_file"


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_file_that_is_cut_or_garbage_is_corrupt(tmp_path: Path, keep: int) -> None:
    """Whatever nibabel or zlib raises, the reader sees one kind of error."""
    noise = np.random.default_rng(1).random((8, 8, 8)).astype(np.float32)
    path = write(tmp_path / "pet.nii.gz", noise, LPS)
    path.write_bytes(path.read_bytes()[:keep] if keep >= 0 else b"no NIfTI" * 99)
    assert code_of(path) == "corrupt_file"


@pytest.mark.parametrize(
    "affine",
    [
        np.diag([np.nan, 4.0, 3.0, 1.0]),
        np.diag([0.001, 4.0, 3.0, 1.0]),
        np.diag([40.0, 4.0, 3.0, 1.0]),
        np.array([[4.0, 4, 0, 0], [0, 0, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]]),
    ],
)
def test_an_affine_that_cannot_be_is_refused(tmp_path: Path, affine: NDArray[np.float64]) -> None:
    """Not finite, voxels of micrometres or decimetres, two axes on one line."""
    assert code_of(write(tmp_path / "pet.nii", np.ones((2, 2, 2), np.float32), affine)) == (
        "bad_affine"
    )


def test_a_file_that_does_not_say_where_it_lies_is_refused(tmp_path: Path) -> None:
    """Without sform and qform nibabel would put any two volumes on top of one another."""
    image = nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), None)
    image.header.set_zooms((4.0, 4.0, 3.0))
    image.header.set_sform(None, code=0)
    image.header.set_qform(None, code=0)
    nibabel.save(image, tmp_path / "pet.nii.gz")
    assert code_of(tmp_path / "pet.nii.gz") == "bad_affine"


def two_places(sform: NDArray[np.float64], qform: NDArray[np.float64], path: Path) -> Path:
    """Write a file whose header has both, codes 1; a shear is taken off the qform."""
    image = nibabel.Nifti1Image(np.ones((64, 64, 40), np.int16), None)
    image.set_sform(sform, code=1)
    image.set_qform(qform, code=1, strip_shears=True)
    nibabel.save(image, path)
    return path


MIRRORED = LPS @ np.diag([-1.0, 1.0, 1.0, 1.0])
SHEARED = np.array([[4.0, 0, 0, 0], [0, 4, 0.4, 0], [0, 0, 3, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("sform", "qform"),
    [(LPS, MIRRORED), (LPS, LPS + np.eye(4, k=3) * 3.0), (SHEARED, SHEARED)],
)
def test_a_file_that_says_two_places_is_refused(
    tmp_path: Path, sform: NDArray[np.float64], qform: NDArray[np.float64]
) -> None:
    """Mirrored, moved, or sheared by more than half a voxel; no other check sees left and right."""
    path = two_places(sform, qform, tmp_path / "pet.nii.gz")
    with pytest.raises(DatasetError, match=r"sform and qform are [0-9.]+ mm apart") as caught:
        load_volume(path)
    assert caught.value.code == "bad_affine"
    assert "set_qform(None, 0)" in caught.value.fix


def test_a_place_that_is_said_twice_and_rounded_is_one(tmp_path: Path) -> None:
    """As dcm2niix writes it, turned a little too; one that has no code counts for nothing."""
    for degrees in (0.0, 0.01, 1.0, 179.99):
        turn, angle = np.eye(4), np.deg2rad(degrees)
        turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        affine = turn @ LPS
        path = two_places(affine, affine, tmp_path / "pet.nii.gz")
        np.testing.assert_allclose(
            load_volume(path).voxel_ml, abs(np.linalg.det(affine)) / 1000, rtol=1e-5
        )
    image = nibabel.Nifti1Image(np.ones((2, 2, 2), np.int16), None)
    image.set_sform(LPS, code=1)
    image.set_qform(MIRRORED, code=0)
    nibabel.save(image, tmp_path / "pet_.nii.gz")
    assert load_volume(tmp_path / "pet_.nii.gz").spacing_mm == pytest.approx((4.0, 4.0, 3.0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_whole_body_that_is_turned_by_half_a_turn_has_one_place(
    tmp_path: Path, axis: int
) -> None:
    """There the fourth number of a quaternion is lost to rounding: by millimetres at the feet."""
    rng = np.random.default_rng(axis)
    image = nibabel.Nifti1Image(np.ones((8, 8, 650), np.int16), None)
    for _ in range(60):
        turn = Rotation.from_rotvec(np.pi * np.eye(3)[axis])
        turn *= Rotation.from_rotvec(rng.normal(scale=10.0 ** rng.uniform(-5, -2), size=3))
        affine = np.eye(4)
        affine[:3, :3] = turn.as_matrix() @ np.diag([0.977, 0.977, 3.0])
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
        nibabel.save(image, tmp_path / "ct.nii")
        assert load_volume(tmp_path / "ct.nii").array.size


def test_a_packed_file_with_a_wrong_bit_is_corrupt(tmp_path: Path) -> None:
    """Most wrong bits unpack without complaint into other uptake; the checksum sees them."""
    noise = np.random.default_rng(1).random((8, 8, 8)).astype(np.float32)
    path = write(tmp_path / "pet.nii.gz", noise, LPS)
    packed = path.read_bytes()
    begin, step = 400, 50  # behind the header, which has checks of its own
    for place in range(begin, len(packed) - 8, step):
        path.write_bytes(packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :])
        assert code_of(path) == "corrupt_file"


@pytest.mark.parametrize("name", ["pet.nii", "pet.nii.gz"])
def test_a_header_that_asks_for_more_than_memory_is_corrupt(tmp_path: Path, name: str) -> None:
    """Nothing of that size is taken."""
    content = bytearray(nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), LPS).to_bytes())
    content[40:48] = np.array([3, 30_000, 30_000, 30_000], "<i2").tobytes()
    packed = gzip.compress(bytes(content)) if name.endswith(".gz") else bytes(content)
    (tmp_path / name).write_bytes(packed)
    assert code_of(tmp_path / name) == "corrupt_file"


def test_a_packed_file_that_cannot_hold_what_it_claims_takes_no_memory(tmp_path: Path) -> None:
    """A gigabyte is plausible, and not in a file of a few hundred bytes: deflate has a bound."""
    content = bytearray(nibabel.Nifti1Image(np.ones((2, 2, 2), np.int16), LPS).to_bytes())
    content[40:48] = np.array([3, 1000, 1000, 500], "<i2").tobytes()
    (tmp_path / "pet.nii.gz").write_bytes(gzip.compress(bytes(content)))
    tracemalloc.start()
    try:
        assert code_of(tmp_path / "pet.nii.gz") == "corrupt_file"
        assert tracemalloc.get_traced_memory()[1] < 32e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("dtype", "slope"), [("int16", 0.37), ("uint8", 2.0), ("float64", 1.0)])
@pytest.mark.parametrize("name", ["pet.nii", "pet.nii.gz"])
def test_scaled_and_wide_numbers_are_those_of_nibabel(
    tmp_path: Path, name: str, dtype: str, slope: float
) -> None:
    """To float32's rounding, without its detour by float64."""
    array = np.random.default_rng(1).uniform(0, 250, (5, 6, 7)).astype(dtype)
    image = nibabel.Nifti1Image(array, LPS)
    image.header.set_slope_inter(slope, -12.5 if slope != 1.0 else 0.0)
    nibabel.save(image, tmp_path / name)
    volume = load_volume(tmp_path / name)
    expected = nibabel.as_closest_canonical(nibabel.load(tmp_path / name)).get_fdata()
    np.testing.assert_allclose(volume.array, expected, rtol=1e-6, atol=1e-5)
    assert volume.array.dtype == np.float32


@pytest.mark.parametrize("kind", ["complex64", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, kind: object) -> None:
    """Colours and complex numbers are neither SUV nor HU."""
    array = np.zeros((2, 2, 2), dtype=np.dtype(kind))  # type: ignore[call-overload]  # any kind
    assert code_of(write(tmp_path / "pet.nii", array, LPS)) == "corrupt_file"


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """One NaN in a volume would be one NaN in a model."""
    array = np.ones((2, 2, 2), np.float32)
    array[0, 0, 0] = np.nan
    assert code_of(write(tmp_path / "pet.nii", array, LPS)) == "not_finite"


def test_a_case_says_which_modality_it_lacks_and_which_it_has() -> None:
    """Missing modalities are normal, and named."""
    case = Case(case_id="007", volumes={"PET": Path("pet.nii.gz")}, clinical={})
    with pytest.raises(DatasetError) as caught:
        case.volume("CT")
    assert (caught.value.code, caught.value.case) == ("missing_modality", "007")
    assert "PET" in caught.value.why


@pytest.mark.parametrize("name", ["pet.nii", "pet.nii.gz"])
def test_a_volume_that_is_saved_comes_back(tmp_path: Path, name: str) -> None:
    """Numbers exactly, the affine to float32; equal volumes give equal bytes, whenever written."""
    oblique = np.array([[4.0, -1, 0, 3], [1, 4, 0, -7], [0, 0, 3, 5], [0, 0, 0, 1]])
    array = np.random.default_rng(1).random((3, 4, 5)).astype(np.float32)
    volume = Volume(array=array, affine=oblique)
    save_volume(volume, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    back = load_volume(tmp_path / name)
    np.testing.assert_array_equal(back.array, array)
    np.testing.assert_allclose(back.affine, oblique, rtol=1e-6)
    save_volume(back, tmp_path / name)
    assert (tmp_path / name).read_bytes() == first
    if name.endswith(".gz"):
        assert first[4:8] == bytes(4)
