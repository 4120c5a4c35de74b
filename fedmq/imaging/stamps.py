"""Stamps: what tells of a file, without reading it, that it is another one."""

import stat
from pathlib import Path


def file_stamp(path: Path) -> tuple[int, int, int, int, int] | None:
    """Return size, time of the content, time of any change, number and disk; None: no file there.

    Times in nanoseconds. That of any change cannot be set, so that content that changes in place
    under its old date is seen too. A backup by hard links, another owner or another disk changes
    what stands behind the first two, and no content.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def file_mark(path: Path) -> tuple[int, int] | None:
    """Return size and time of the content; None: no file there.

    What of a stamp stays when a file gets another name, or its share is mounted anew.
    """
    stamp = file_stamp(path)
    return None if stamp is None else stamp[:2]
