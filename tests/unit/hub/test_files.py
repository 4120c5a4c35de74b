"""Files of the hub's folder: whole, whoever else writes them at the same time."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedmq.errors import StorageError
from fedmq.hub.files import replace_file


def test_two_writers_at_once_leave_one_whole_text(tmp_path: Path) -> None:
    """Neither a mixture, nor an error of the one whose passing file the other has taken away."""
    texts = [str(number) * 200_000 for number in range(8)]

    def write(text: str) -> str:
        replace_file(tmp_path / "roster.json", text)
        return (tmp_path / "roster.json").read_text()

    with ThreadPoolExecutor(len(texts)) as pool:
        seen = list(pool.map(write, texts * 6))
    assert set(seen) <= set(texts)
    assert [one.name for one in tmp_path.iterdir()] == ["roster.json"]


def test_where_there_is_no_folder_the_disk_says_so(tmp_path: Path) -> None:
    """In words of this program."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        replace_file(tmp_path / "file" / "roster.json", "{}")
