"""Inflating: the bytes of zlib, whatever reads them, and nothing that is cut or damaged."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmq.imaging.inflating import HAS_ISAL, inflate_errors, is_whole, open_packed

PARTS = st.lists(st.binary(max_size=3000), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(parts=PARTS, level=st.integers(0, 9))
def test_what_comes_out_is_what_was_packed(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], level: int
) -> None:
    """Of several members, too, as appending to a packed file makes."""
    path = tmp_path_factory.mktemp("packed") / "a.gz"
    path.write_bytes(b"".join(gzip.compress(part, compresslevel=level) for part in parts))
    with open_packed(path) as file:
        assert file.read() == b"".join(parts)


@settings(max_examples=50, deadline=None)
@given(content=st.binary(min_size=200, max_size=2000), place=st.floats(0, 0.999))
def test_a_cut_file_does_not_end_well(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: float
) -> None:
    """Wherever it is cut, if it is read to its end; the first bytes alone may be fine."""
    path = tmp_path_factory.mktemp("packed") / "a.gz"
    packed = gzip.compress(content)
    path.write_bytes(packed[: max(1, int(len(packed) * place))])
    with open_packed(path) as file, pytest.raises((OSError, *inflate_errors())):
        is_whole(file, surplus_bytes=len(content))


def test_what_goes_on_for_long_is_not_whole(tmp_path: Path) -> None:
    """A few bytes more are, a packed gigabyte is not: it is not unpacked to its end."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(5_000_000)))
    for surplus_bytes, expected in ((5_000_000, True), (4_999_999, False)):
        with open_packed(tmp_path / "a.gz") as file:
            assert is_whole(file, surplus_bytes=surplus_bytes) is expected


def test_without_isal_zlib_does_it(tmp_path: Path) -> None:
    """In a process that cannot import it, a volume reads the same."""
    assert HAS_ISAL
    (tmp_path / "isal").mkdir()
    (tmp_path / "isal" / "__init__.py").write_text("raise ImportError\n")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"voxels" * 1000))
    code = (
        "import sys; from pathlib import Path; from fedmq.imaging.inflating import *;"
        "assert not HAS_ISAL; print(open_packed(Path(sys.argv[1])).read() == b'voxels' * 1000)"
    )
    here = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-c", code, str(tmp_path / "a.gz")],
        env={**os.environ, "PYTHONPATH": here},
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == "True"
