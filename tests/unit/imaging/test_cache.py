"""The cache of cases: whole or not there, never stale, never more than it may."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.imaging import cache as cache_module
from fedmq.imaging.cache import SUFFIX, CaseCache, case_key
from fedmq.imaging.case_files import PART, read_case, write_case
from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import Frame, PreparedCase, prepare_case
from fedmq.imaging.stored import StoredCase, store_case
from fedmq.imaging.volumes import Volume
from tests.support.fields import affine_of, ball, case_with

KEY = "a" * 64
FRAME = Frame(spacing_mm=5.0)
SIZE = 2**30


def stored_case(seed: int = 1, sides: tuple[int, int, int] = (5, 4, 3)) -> StoredCase:
    """Return noise with a mask."""
    rng = np.random.default_rng(seed)
    images = rng.random((2, *sides)).astype(np.float32)
    return store_case(PreparedCase(images=images, mask=rng.random(sides) < 0.2, affine=np.eye(4)))


def equal(one: StoredCase | None, other: StoredCase) -> bool:
    """Return whether two cases are the same in every bit."""
    return (
        one is not None
        and np.array_equal(one.images, other.images)
        and (one.mask is None) == (other.mask is None)
        and (one.mask is None or np.array_equal(one.mask, other.mask))
        and np.array_equal(one.coronal, other.coronal)
        and np.array_equal(one.sagittal, other.sagittal)
        and np.array_equal(one.affine, other.affine)
        and np.array_equal(one.body_counts, other.body_counts)
        and np.array_equal(one.lesion_counts, other.lesion_counts)
        and dict(one.rest) == dict(other.rest)
    )


def files_case(folder: Path, *, suv: float = 5.0) -> Case:
    """Return a case with PET, CT and mask in files."""
    folder.mkdir(exist_ok=True)
    grid = affine_of((4.0, 4.0, 3.0), (-30.0, -30.0, -30.0))
    ct = Volume(array=np.full((9, 9, 9), 40.0, np.float32), affine=affine_of((7, 7, 7), (-30,) * 3))
    pet = ball(grid, (14, 14, 14), suv)
    return case_with(folder, PET=pet, CT=ct, MASK=ball(grid, (14, 14, 14), 1.0))


@pytest.mark.parametrize("has_mask", [True, False])
def test_a_case_is_the_same_from_its_file(tmp_path: Path, *, has_mask: bool) -> None:
    """Every bit, in pages that nobody can write to, from any place in memory."""
    case = stored_case()
    case = case if has_mask else replace(case, mask=None)
    cache = CaseCache(tmp_path, limit_bytes=SIZE, reserve_bytes=0)
    kept = cache.keep(KEY, case)
    assert kept.is_mapped
    assert equal(kept, case)
    assert equal(cache.find(KEY), case)
    assert [path.name for path in tmp_path.iterdir()] == [KEY + SUFFIX]
    with pytest.raises(ValueError, match="read-only"):
        kept.images[0, 0, 0, 0] = 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_that_is_cut_torn_or_damaged_is_not_there(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever a crash or a bad disk makes of it: the case is prepared again, never a wrong one."""
    path = tmp_path_factory.mktemp("cache") / "a.case"
    write_case(path, KEY, stored_case())
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "zeros", "longer"]))
    damaged = {
        "cut": content[:place],
        "flip": content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        "zeros": content[:place] + bytes(len(content) - place),
        "longer": content + b"x",
    }[kind]
    path.write_bytes(damaged)
    assert (read_case(path, KEY) is None) == (damaged != content)


def test_a_file_of_another_key_is_not_there(tmp_path: Path) -> None:
    """A name alone says nothing of what is inside."""
    write_case(tmp_path / "a.case", KEY, stored_case())
    assert read_case(tmp_path / "a.case", "b" * 64) is None
    assert read_case(tmp_path / "b.case", KEY) is None


def test_beyond_its_limit_it_keeps_nothing_and_says_so_once(tmp_path: Path) -> None:
    """The case is given all the same; what is kept stays."""
    said: list[str] = []
    limit = 2 * stored_case().size_bytes
    cache = CaseCache(tmp_path, limit_bytes=limit, reserve_bytes=0, say=said.append)
    cases = [stored_case(seed) for seed in range(4)]
    kept = [cache.keep(f"{number:064}", case) for number, case in enumerate(cases)]
    assert [one.is_mapped for one in kept] == [True, False, False, False]
    assert all(equal(one, case) for one, case in zip(kept, cases, strict=True))
    assert len(said) == 1
    assert "FEDMQ_CASE_CACHE_MB" in said[0]


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path) -> None:
    """Others need the rest of it."""
    said: list[str] = []
    cache = CaseCache(tmp_path, limit_bytes=SIZE, reserve_bytes=2**60, say=said.append)
    assert not cache.keep(KEY, stored_case()).is_mapped
    assert not cache.keep(KEY, stored_case()).is_mapped
    assert list(tmp_path.iterdir()) == []
    assert len(said) == 1


def test_a_folder_that_went_costs_time_alone(tmp_path: Path) -> None:
    """As when an operator withdraws a case, and the cache of the dataset with it."""
    said: list[str] = []
    cache = CaseCache(tmp_path / "cases", limit_bytes=SIZE, reserve_bytes=0, say=said.append)
    assert equal(cache.keep(KEY, stored_case()), stored_case())
    assert cache.find(KEY) is None
    assert len(said) == 1


def test_a_part_of_a_dead_process_goes_one_in_writing_stays(tmp_path: Path) -> None:
    """Nobody writes for ten minutes."""
    old, new = tmp_path / f"a{PART}", tmp_path / f"b{PART}"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    CaseCache(tmp_path, limit_bytes=SIZE)
    assert [path.name for path in tmp_path.iterdir()] == [new.name]


def test_each_file_and_each_setting_makes_another_key(tmp_path: Path) -> None:
    """The same ones the same key; content that changes in place under its old date another."""
    case = files_case(tmp_path / "a")
    key = case_key(case, FRAME, with_mask=True)
    assert case_key(case, FRAME, with_mask=True) == key
    assert case_key(case, FRAME, with_mask=False) != key
    assert case_key(case, Frame(spacing_mm=5.5), with_mask=True) != key
    assert case_key(files_case(tmp_path / "b"), FRAME, with_mask=True) != key
    without = replace(case, volumes={"PET": case.volumes["PET"]})
    assert case_key(without, FRAME, with_mask=True) != key
    for path in case.volumes.values():
        found = path.stat()
        with path.open("r+b") as file:
            file.seek(found.st_size // 2)
            file.write(b"?")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)
        changed = case_key(case, FRAME, with_mask=True)
        assert changed != key
        key = changed


def test_a_case_without_mask_does_not_depend_on_the_mask(tmp_path: Path) -> None:
    """Who draws a lesion anew prepares nothing anew for plans that see no mask."""
    case = files_case(tmp_path / "a")
    key = case_key(case, FRAME, with_mask=False)
    case.volumes["MASK"].touch()
    assert case_key(case, FRAME, with_mask=False) == key


def test_what_prepares_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of the code, or of numpy, may compute other bits."""
    case = files_case(tmp_path / "a")
    key = case_key(case, FRAME, with_mask=True)
    for versions in (lambda _name: "1.0", lambda _name: "2.0"):
        cache_module._preparation.cache_clear()
        monkeypatch.setattr(cache_module, "version", versions)
        assert case_key(case, FRAME, with_mask=True) != key
        key = case_key(case, FRAME, with_mask=True)
    monkeypatch.undo()
    cache_module._preparation.cache_clear()


def _fill(folder: Path, cases: list[Case]) -> list[bytes]:
    cache = CaseCache(folder, limit_bytes=SIZE, reserve_bytes=0)
    found = []
    for case in cases:
        key = case_key(case, FRAME, with_mask=True)
        made = cache.find(key) or cache.keep(
            key, store_case(prepare_case(case, FRAME, with_mask=True))
        )
        found.append(made.images.tobytes())
    return found


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Who prepares the same case at once gets the same bits, and leaves one file."""
    cases = [files_case(tmp_path / name, suv=suv) for name, suv in (("a", 5.0), ("b", 9.0))]
    folder = tmp_path / "cache"
    folder.mkdir()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        first, second = pool.map(_fill, [folder] * 2, [cases, cases[::-1]])
    assert first == second[::-1]
    assert len(list(folder.iterdir())) == 2
    assert not list(folder.glob(f"*{PART}"))
