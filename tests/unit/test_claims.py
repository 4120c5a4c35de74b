"""Claims: one process at a time in a folder, and nothing to clear away after a kill."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import fedmq
from fedmq.claims import LOCK, claimed
from fedmq.errors import ConfigurationError, StorageError

HOLD = """
import sys
from pathlib import Path
from fedmq.claims import claimed
with claimed(Path(sys.argv[1]), "a node"):
    print("mine", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield another process that has the folder."""
    environment = {**os.environ, "PYTHONPATH": str(Path(fedmq.__file__).parent.parent)}
    with subprocess.Popen(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", HOLD, str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "mine\n"
            yield process
        finally:
            process.kill()


def test_who_comes_second_is_told_whose_the_folder_is(tmp_path: Path) -> None:
    """By process id, with what to do about it; the first one is not disturbed."""
    with holder(tmp_path) as other:
        with pytest.raises(ConfigurationError) as caught, claimed(tmp_path, "a node"):
            pass
        assert caught.value.what == f"a node runs already in {tmp_path}"
        assert str(other.pid) in caught.value.why
        assert f"kill {other.pid}" in caught.value.fix
        assert "FEDMQ_HOME" in caught.value.fix
        assert other.poll() is None


def test_a_killed_process_leaves_no_claim(tmp_path: Path) -> None:
    """Its file is still there, with its id; the kernel has let go of the lock."""
    with holder(tmp_path) as other:
        other.kill()
        other.wait()
        assert (tmp_path / LOCK).read_text() == str(other.pid)
        with claimed(tmp_path, "a node"):
            assert (tmp_path / LOCK).read_text() == str(os.getpid())


def test_a_claim_ends_with_its_block(tmp_path: Path) -> None:
    """Also after an error inside; a folder that is not there yet is made."""
    folder = tmp_path / "home" / "node"
    with pytest.raises(ZeroDivisionError), claimed(folder, "a node"):
        raise ZeroDivisionError
    with claimed(folder, "a node"), pytest.raises(ConfigurationError), claimed(folder, "a node"):
        pass


def test_programs_that_are_started_meanwhile_do_not_keep_the_claim(tmp_path: Path) -> None:
    """A trainer may outlive a node that was killed, for a moment; the next node begins at once."""
    with claimed(tmp_path, "a node"):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('on', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        # The kernel lets the parent go on a moment before it closes what the child shall not have.
        assert child.stdout is not None
        assert child.stdout.readline() == b"on\n"
    try:
        with claimed(tmp_path, "a node"):
            assert child.poll() is None
    finally:
        child.kill()
        child.communicate()


def test_two_folders_are_two_claims(tmp_path: Path) -> None:
    """A node and an orchestrator may share a home: each has a folder of its own there."""
    with (
        claimed(tmp_path / "node", "a node"),
        claimed(tmp_path / "orchestrator", "an orchestrator"),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    """It says which, why, and what to do."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"file/node cannot be locked.*FEDMQ_HOME"),
        claimed(tmp_path / "file" / "node", "a node"),
    ):
        pass


def test_a_claim_needs_no_room_on_the_disk(tmp_path: Path) -> None:
    """A full disk keeps the name out, not the lock: /dev/full stands for it."""
    (tmp_path / LOCK).symlink_to("/dev/full")
    with claimed(tmp_path, "a node"), pytest.raises(ConfigurationError), claimed(tmp_path, "two"):
        pass
