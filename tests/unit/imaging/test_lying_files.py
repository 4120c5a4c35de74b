"""Files that are damaged, or lie: a refusal by name, the rest goes on, memory stays bounded."""

import gzip
import random
import tracemalloc
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.clinical import read_table
from fedmq.imaging.layouts.data_map import DataMap
from fedmq.imaging.volumes import MAX_OFFSET, load_volume
from fedmq.node.inspection import inspect
from tests.support.mutations import mutated_table, mutated_volume, sound_volume

MB = 2**20
VOLUME_CODES = {"corrupt_file", "not_3d", "bad_affine", "not_finite"}
TABLE_CODES = {"corrupt_file", "no_case_column", "empty", "duplicate_row", "no_case_id"}


def peak_bytes(path: Path) -> int:
    """Return how much memory the refusal of a file takes."""
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError) as caught:
            load_volume(path)
        assert str(path.parent) not in str(caught.value)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def lying(field: str, *values: object) -> bytes:
    """Return a volume with another value in a field of its header."""
    content = bytearray(sound_volume())
    kind, offset = nibabel.Nifti1Header.template_dtype.fields[field][:2]
    lie = np.array(values, dtype=kind.base).tobytes()
    content[offset : offset + len(lie)] = lie
    return bytes(content)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("dim", (3, 10_000, 10_000, 5_000)),  # a terabyte of float64
        ("dim", (3, 1_000, 1_000, 1_000)),  # what a volume may have, and the file has not
        ("dim", (3, 6, 6, 7)),
        ("dim", (7, 32_767, 32_767, 32_767, 32_767, 32_767, 32_767, 32_767)),
        ("dim", (3, -6, 6, 6)),
        ("dim", (0, 6, 6, 6)),
        ("dim", (9, 6, 6, 6)),
        ("dim", (3, -1, 1, 1)),
        ("vox_offset", (1e9,)),
        ("vox_offset", (float(MAX_OFFSET + 16),)),
        ("vox_offset", (1_000.0,)),
        ("vox_offset", (-352.0,)),
        ("vox_offset", (float("nan"),)),
        ("vox_offset", (float("inf"),)),
        ("scl_slope", (float("inf"),)),
        ("scl_slope", (3e38,)),
        ("scl_inter", (float("nan"),)),
        ("magic", (b"n+x",)),
        ("magic", (b"ni1",)),
        ("sizeof_hdr", (349,)),
        ("datatype", (1234,)),
        ("datatype", (0,)),
    ],
)
def test_a_header_that_lies_is_refused_before_memory_is_taken(
    tmp_path: Path, field: str, values: tuple[object, ...], suffix: str
) -> None:
    """By what the file really holds; a scale of 3e38 brings values that are not finite."""
    content, path = lying(field, *values), tmp_path / f"pet{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".nii.gz" else content)
    assert peak_bytes(path) < 8 * MB


def test_voxels_without_a_size_are_refused(tmp_path: Path) -> None:
    """Nibabel takes them for a millimetre, where the place comes from the qform."""
    image = nibabel.Nifti1Image(np.ones((6, 6, 6), np.int16), None)
    image.header.set_qform(np.diag([4.0, 4.0, 4.0, 1.0]), code=1)
    image.header.set_sform(None, code=0)
    content = bytearray(image.to_bytes())
    path = tmp_path / "pet.nii"
    path.write_bytes(bytes(content))
    assert load_volume(path).spacing_mm == pytest.approx((4.0, 4.0, 4.0))
    offset = nibabel.Nifti1Header.template_dtype.fields["pixdim"][1] + 4
    content[offset : offset + 12] = bytes(12)
    path.write_bytes(bytes(content))
    with pytest.raises(DatasetError, match="have no size"):
        load_volume(path)


def test_slopes_of_nothing_mean_no_scale(tmp_path: Path) -> None:
    """So says NIfTI-1 of 0, and so writes nibabel NaN."""
    path = tmp_path / "ct.nii"
    for slope in (0.0, float("nan"), 1.0):
        path.write_bytes(lying("scl_slope", slope))
        assert load_volume(path).array.max() == 215.0


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    """Behind the voxels, in an extension, or where the header claims it and it is not so."""
    path = tmp_path / "pet.nii.gz"
    zeros = bytes(96 * MB)
    path.write_bytes(gzip.compress(sound_volume() + zeros, compresslevel=9))
    assert peak_bytes(path) < 8 * MB
    extended = lying("vox_offset", 90.0 * MB)
    head = extended[:348] + b"\1\0\0\0" + (80 * MB).to_bytes(4, "little") + b"\4\0\0\0"
    rest = bytes(90 * MB + 432 - len(head))
    path.write_bytes(gzip.compress(head + rest, compresslevel=9))
    assert peak_bytes(path) < 8 * MB
    assert path.stat().st_size < MB


def test_a_file_of_no_byte_is_called_empty(tmp_path: Path) -> None:
    """A copy that broke off leaves such."""
    for name in ("pet.nii", "pet.nii.gz"):
        (tmp_path / name).touch()
        with pytest.raises(DatasetError, match="it is empty"):
            load_volume(tmp_path / name)


def test_a_few_bytes_behind_the_voxels_do_no_harm(tmp_path: Path) -> None:
    """Some programs fill up blocks."""
    (tmp_path / "pet.nii").write_bytes(sound_volume() + bytes(512))
    assert load_volume(tmp_path / "pet.nii").array.shape == (6, 6, 6)


@pytest.mark.filterwarnings("default")  # what nibabel warns of is not ours
@pytest.mark.parametrize("seed", range(4))
def test_mutated_volumes_are_read_or_refused_by_name(tmp_path: Path, seed: int) -> None:
    """A hundred for each seed; ./run bench fuzz-data tries more."""
    chance = random.Random(seed)
    codes: Counter[str] = Counter()
    texts: list[str] = []
    tracemalloc.start()
    for _ in range(100):
        suffix, content = mutated_volume(chance)
        path = tmp_path / f"pet{suffix}"
        path.write_bytes(content)
        try:
            volume = load_volume(path)
        except DatasetError as error:
            codes[error.code] += 1
            texts.append(str(error))
        else:
            codes["read"] += 1
            assert np.isfinite(volume.array).all()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes.keys() <= VOLUME_CODES | {"read"}
    assert not any(str(tmp_path) in text for text in texts)
    assert codes["read"] >= 5
    assert codes["corrupt_file"] >= 20
    assert peak < 16 * MB


def test_mutated_tables_are_read_or_refused_and_no_row_goes_in_silence(tmp_path: Path) -> None:
    """Three hundred; of a table that is read every id is one of its lines'."""
    chance, path = random.Random(5), tmp_path / "clinical.csv"
    codes: Counter[str] = Counter()
    texts: list[str] = []
    for _ in range(300):
        content = mutated_table(chance)
        path.write_bytes(content)
        try:
            table = read_table(path)
        except DatasetError as error:
            codes[error.code] += 1
            texts.append(str(error))
        else:
            codes["read"] += 1
            assert table.rows
            assert all(row.case_id for row in table.rows)
    assert codes.keys() <= TABLE_CODES | {"read"}
    assert not any(str(tmp_path) in text for text in texts)
    assert all(codes[one] for one in TABLE_CODES | {"read"})


@pytest.mark.filterwarnings("default")  # as above
def test_a_damaged_case_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """Forty datasets of a sound case and one with a damaged PET."""
    chance = random.Random(8)
    for number in range(40):
        folder = tmp_path / str(number)
        for case in ("A", "B"):
            (folder / case).mkdir(parents=True)
            (folder / case / "PET.nii").write_bytes(sound_volume())
        suffix, content = mutated_volume(chance)
        (folder / "B" / "PET.nii").unlink()
        (folder / "B" / f"PET{suffix}").write_bytes(content)
        found = inspect(folder, None, DataMap())
        assert [case.case_id for case in found.cases] == ["A", "B"]
        # 215 is no SUV, so that each case has that finding at least where it can be read.
        assert {finding.case_id for finding in found.findings} == {"A", "B"}
        assert [one.code for one in found.findings if one.case_id == "A"] == ["implausible_suv"]
