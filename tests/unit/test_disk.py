"""A folder of the machine: what is written is there, and its sync has little left to do."""

import os
from pathlib import Path

import pytest

from fedmq import disk as disks
from fedmq.disk import LocalDisk

MB = 2**20


def test_a_large_write_goes_on_its_way_to_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that were written, of the file they are in; of few bytes nothing is said."""
    begun: list[tuple[int, int, int]] = []
    monkeypatch.setattr(
        disks,
        "_sync_file_range",
        lambda: (
            lambda file, at, size, what: begun.append((os.fstat(file).st_ino, at, size)) or what
        ),
    )
    disk = LocalDisk(tmp_path)
    disk.write("model", MB, bytes(MB))
    disk.write("model", 0, b"few")
    assert begun == [((tmp_path / "model").stat().st_ino, MB, MB)]


def test_where_the_system_cannot_begin_early_the_sync_does_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a hint, and nothing rests on it."""
    monkeypatch.setattr(disks, "_sync_file_range", lambda: None)
    disk = LocalDisk(tmp_path)
    disk.write("model", 0, bytes(MB))
    disk.sync("model")
    disk.sync_names()
    assert disk.read("model", 0, 2 * MB) == bytes(MB)


def test_the_system_takes_the_hint(tmp_path: Path) -> None:
    """This one has it: it says yes, and the bytes are there."""
    begin = disks._sync_file_range()
    if begin is None:
        pytest.fail("Linux with glibc has sync_file_range")
    with (tmp_path / "model").open("wb") as file:
        file.write(bytes(MB))
        file.flush()
        assert begin(file.fileno(), 0, MB, disks._BEGIN_WRITING) == 0


def test_a_file_of_a_folder_that_is_none_is_not_there(tmp_path: Path) -> None:
    """As one that was never written."""
    disk = LocalDisk(tmp_path)
    assert disk.size_bytes("nothing") is None
    disk.write("file", 0, b"")
    assert disk.size_bytes("file") == 0
    assert disk.size_bytes("file/inside") is None
