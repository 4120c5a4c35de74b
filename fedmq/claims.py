"""Claims: a folder that one process at a time may work in.

The claim is a lock of the kernel on a file in the folder. It ends with the process, whatever ends
that, so nothing is left to clear away after a kill; programs that the process starts do not inherit
it. Who asks meanwhile is told whose it is.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fedmq.errors import ConfigurationError, StorageError

LOCK: Final = "lock"
_MAX_DIGITS: Final = 20


class Lock:
    """The lock of a folder, which this process has or has not."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if need be, and take nothing yet.

        Raises:
            StorageError: the disk refuses.
        """
        self._folder = folder
        self.is_mine = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refused(folder, error) from error

    def try_take(self) -> bool:
        """Return whether this process has the lock, now or since before.

        Raises:
            StorageError: the disk refuses.
        """
        if self.is_mine:
            return True
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise _refused(self._folder, error) from error
        # On a full disk the name may find no room; the lock holds without it.
        with suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, str(os.getpid()).encode(), 0)
        self.is_mine = True
        return True

    def release(self) -> None:
        """Let others take it."""
        with suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self.is_mine = False

    def taken_error(self, program: str, *, otherwise: str = "") -> ConfigurationError:
        """Return what to tell a person whose `program` finds the lock taken."""
        # It may be empty for the moment between lock and name.
        pid = os.pread(self._file, _MAX_DIGITS, 0).decode(errors="replace")
        return ConfigurationError(
            f"{program} runs already in {self._folder}",
            why=f"the process {pid} has the folder" if pid else "another process has the folder",
            fix=(f"end it with: kill {pid}; or" if pid else "end it, or")
            + " give this one a folder of its own with FEDMQ_HOME"
            + otherwise,
        )

    def close(self) -> None:
        """Let go; the file stays.

        Whoever removed it could let two processes lock two files of one name.
        """
        os.close(self._file)


@contextmanager
def claimed(folder: Path, program: str) -> Iterator[None]:
    """Keep `folder` for this process for a while; `program` says what it is, for people.

    Raises:
        ConfigurationError: another process has the folder; the error names its process id.
        StorageError: the disk refuses.
    """
    lock = Lock(folder)
    try:
        if not lock.try_take():
            raise lock.taken_error(program)
        yield
    finally:
        lock.close()


def _refused(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the folder {folder} cannot be locked",
        why=error.strerror or str(error),
        fix="choose a folder of your own, on a disk of this machine, with FEDMQ_HOME",
    )
