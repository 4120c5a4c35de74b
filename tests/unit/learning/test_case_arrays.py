"""Arrays of cases: read once, never more of them than the limit allows, never stale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import DatasetError
from fedmq.imaging.cache import CaseCache
from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import Frame
from fedmq.imaging.volumes import Volume
from fedmq.learning.case_arrays import (
    MOST_READERS,
    CaseArrays,
    CaseMemory,
    cases_with,
    readers_of,
)
from fedmq.learning.plan import Task
from tests.support.fields import case_with

FRAME = Frame(shape=(8, 8, 8))
ONE_CASE = 2 * 2 * (8**3 + 2 * 8**2)


def make_case(folder: Path, name: str, *, suv: float = 5.0) -> Case:
    """Return a case with PET and CT of one value."""
    (folder / name).mkdir(exist_ok=True)
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    volumes = {
        modality: Volume(array=np.full((8, 8, 8), value, np.float32), affine=affine)
        for modality, value in (("PET", suv), ("CT", 40.0))
    }
    return case_with(folder / name, **volumes)


def test_a_case_is_read_once_by_all_plans_of_a_process(tmp_path: Path) -> None:
    """The very same arrays; nobody can write to them."""
    memory = CaseMemory()
    case = make_case(tmp_path, "a")
    first = CaseArrays(FRAME, memory=memory).stored(case)
    assert CaseArrays(FRAME, memory=memory).stored(case) is first
    assert CaseArrays(Frame(shape=(4, 4, 4)), memory=memory).read(case).images.shape == (2, 4, 4, 4)
    with pytest.raises(ValueError, match="read-only"):
        first.images[0, 0, 0, 0] = 1


def test_two_datasets_may_name_their_cases_alike(tmp_path: Path) -> None:
    """Files tell cases apart, and so does a change of a file."""
    arrays = CaseArrays(FRAME, memory=CaseMemory())
    cases = [make_case(tmp_path, "a", suv=5.0), make_case(tmp_path, "b", suv=10.0)]
    assert cases[0].case_id == cases[1].case_id
    assert arrays.images(cases).arrays[:, 0, 0, 0, 0].tolist() == [0.25, 0.5]
    again = make_case(tmp_path, "a", suv=15.0)
    assert arrays.images([again]).arrays[0, 0, 0, 0, 0] == 0.75


def test_beyond_the_limit_the_longest_unused_is_forgotten_and_read_again(tmp_path: Path) -> None:
    """Two cases fit: the third takes the place of the one that was not asked for again."""
    arrays = CaseArrays(FRAME, memory=CaseMemory(limit_bytes=2 * ONE_CASE))
    a, b, c = (make_case(tmp_path, name) for name in "abc")
    first, second = arrays.stored(a), arrays.stored(b)
    assert arrays.stored(a) is first
    arrays.stored(c)
    assert arrays.stored(a) is first
    again = arrays.stored(b)
    assert again is not second
    np.testing.assert_array_equal(again.images, second.images)


def test_a_case_larger_than_the_limit_is_given_and_not_kept(tmp_path: Path) -> None:
    """Slow beats impossible."""
    arrays = CaseArrays(FRAME, memory=CaseMemory(limit_bytes=ONE_CASE - 1))
    case = make_case(tmp_path, "a")
    first = arrays.stored(case)
    assert first.images.shape == (2, 8, 8, 8)
    assert arrays.stored(case) is not first


def test_a_case_whose_file_is_gone_is_an_error(tmp_path: Path) -> None:
    """What was in memory of it does not count."""
    arrays = CaseArrays(FRAME, memory=CaseMemory())
    case = make_case(tmp_path, "a")
    arrays.read(case)
    case.volumes["CT"].unlink()
    with pytest.raises(DatasetError) as caught:
        arrays.read(case)
    assert caught.value.code == "missing_file"
    assert cases_with([case], ("PET", "CT")) == (case,)
    assert cases_with([case], ("PET", "MASK")) == ()


@pytest.mark.parametrize("num_readers", [1, 2, 5])
def test_cases_come_in_their_order_whoever_reads_them(tmp_path: Path, num_readers: int) -> None:
    """The same arrays, each read once, also where a case is asked for twice at once."""
    memory = CaseMemory()
    arrays = CaseArrays(FRAME, memory=memory)
    cases = [make_case(tmp_path, name, suv=suv) for name, suv in (("a", 2.0), ("b", 4.0))]
    found = arrays.stored_all([*cases, *cases, *cases], num_readers=num_readers)
    values = [float(one.prepared().images[0, 0, 0, 0]) for one in found]
    assert values == pytest.approx([0.1, 0.2] * 3, abs=2**-16)
    assert found[0] is found[2] is found[4]
    assert memory._size_bytes == 2 * ONE_CASE


def test_the_first_case_that_cannot_be_read_is_named_whoever_reads_it(tmp_path: Path) -> None:
    """As where one is read after the other."""
    cases = [make_case(tmp_path, name) for name in "abcd"]
    for case in cases[1:3]:
        case.volumes["PET"].write_bytes(b"no volume")
    arrays = CaseArrays(FRAME, memory=CaseMemory())
    with pytest.raises(DatasetError) as first:
        arrays.read_all(cases)
    with pytest.raises(DatasetError) as found:
        arrays.read_all(cases, num_readers=4)
    assert (str(found.value), found.value.code) == (str(first.value), first.value.code)


@pytest.mark.parametrize(("threads", "readers"), [(1, 1), (2, 2), (64, MOST_READERS)])
def test_readers_are_as_many_as_threads_up_to_a_bound(threads: int, readers: int) -> None:
    """What is unpacked at once takes memory."""
    task = Task(seed=1, round=1, report=lambda _share, _text: None, num_threads=threads)
    assert readers_of(task) == readers


def test_a_case_without_ct_is_not_the_one_whose_ct_is_gone(tmp_path: Path) -> None:
    """The first is normal, the second is an error, whichever was read before."""
    arrays = CaseArrays(FRAME, memory=CaseMemory())
    case = make_case(tmp_path, "a")
    arrays.read(replace(case, volumes={"PET": case.volumes["PET"]}))
    case.volumes["CT"].unlink()
    with pytest.raises(DatasetError) as caught:
        arrays.read(case)
    assert caught.value.code == "missing_file"


def test_cases_are_stacked_whatever_they_have(tmp_path: Path) -> None:
    """Zeros and a false where something is missing, also all of it; in the order asked for."""
    arrays = CaseArrays(FRAME, memory=CaseMemory())
    whole = make_case(tmp_path, "a")
    lacking = [
        replace(whole, volumes={name: whole.volumes[name] for name in names})
        for names in ((), ("PET",), ("CT",), ("PET", "CT"))
    ]
    images = arrays.images(lacking, num_readers=2)
    assert images.presence.tolist() == [[False, False], [True, False], [False, True], [True, True]]
    assert images.arrays.shape == (4, 2, 8, 8, 8)
    assert images.arrays.any(axis=(2, 3, 4)).tolist() == images.presence.tolist()
    assert arrays.images([]).arrays.shape == (0, 2, 8, 8, 8)


def test_cases_of_no_common_shape_are_not_stacked(tmp_path: Path) -> None:
    """Said before anything is read."""
    with pytest.raises(ValueError, match="stacked"):
        CaseArrays(Frame()).images([make_case(tmp_path, "a")])


def test_cases_in_a_cache_take_no_memory_of_the_process(tmp_path: Path) -> None:
    """All of them stay at hand under a limit that not one would fit in; they are read once."""
    memory = CaseMemory(limit_bytes=0)
    (tmp_path / "cache").mkdir()
    memory.keep_in(CaseCache(tmp_path / "cache", limit_bytes=2**30, reserve_bytes=0))
    arrays = CaseArrays(FRAME, memory=memory)
    cases = [make_case(tmp_path, f"case-{number}", suv=number + 1) for number in range(20)]
    first = arrays.stored_all(cases, num_readers=2)
    assert all(one.is_mapped for one in first)
    again = arrays.stored_all(cases)
    assert all(one is other for one, other in zip(first, again, strict=True))
    without = CaseArrays(FRAME, memory=CaseMemory())
    np.testing.assert_array_equal(arrays.images(cases).arrays, without.images(cases).arrays)
