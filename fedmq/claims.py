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


@contextmanager
def claimed(folder: Path, program: str) -> Iterator[None]:
    """Keep `folder` for this process for a while; `program` says what it is, for people.

    Raises:
        ConfigurationError: another process has the folder; the error names its process id.
        StorageError: the disk refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(folder, error) from error
    try:
        _take(lock, folder, program)
        yield
    finally:
        # The file stays: whoever removed it could let two processes lock two files of one name.
        os.close(lock)


def _take(lock: int, folder: Path, program: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # On a full disk the name may find no room; the lock holds without it.
        with suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        # It may be empty for the moment between lock and name.
        pid = os.pread(lock, _MAX_DIGITS, 0).decode(errors="replace")
        raise ConfigurationError(
            f"{program} runs already in {folder}",
            why=f"the process {pid} has the folder" if pid else "another process has the folder",
            fix=(f"end it with: kill {pid}; or" if pid else "end it, or")
            + " give this one a folder of its own with FEDMQ_HOME",
        ) from error
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the folder {folder} cannot be locked",
        why=error.strerror or str(error),
        fix="choose a folder of your own, on a disk of this machine, with FEDMQ_HOME",
    )
