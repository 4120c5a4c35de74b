"""The cache of cases: prepared once, kept in a folder, found by what their files and settings are.

A file is another one when its stamp is (`stamps`): to read and hash 100 MB for each case would take
a tenth of preparing it anew, each time that a program starts, and one that was only moved costs
time and no bit. A case whose files change while they are read is not kept.

What prepares cases counts as a setting: the source of these modules, and the versions of what
computes for them.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Final

from fedmq.imaging.case_files import PART, read_case, write_case
from fedmq.imaging.cases import Case
from fedmq.imaging.preprocessing import Frame
from fedmq.imaging.stamps import file_stamp
from fedmq.imaging.stored import StoredCase

SUFFIX: Final = ".case"
RESERVE_BYTES: Final = 2**30
"""What a cache leaves free of its disk."""
_OLD_S: Final = 600.0
"""Nobody writes one case for so long: what is older and has no name yet is of a dead process."""
_COMPUTING: Final = ("nibabel", "numpy", "scipy")
_IMAGES: Final = ("PET", "CT")
_MASK: Final = "MASK"


class CaseCache:
    """A folder of stored cases, which processes and threads may share."""

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int,
        reserve_bytes: int = RESERVE_BYTES,
        say: Callable[[str], object] = sys.stderr.write,
    ) -> None:
        """Keep up to `limit_bytes` in `folder`, which is there; `say` is told once why no more."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._reserve_bytes = reserve_bytes
        self._say = say
        self._has_said = False
        self._lock = Lock()
        self._remove_parts()

    def find(self, key: str) -> StoredCase | None:
        """Return the case of a key, its arrays a file's own pages; None where it has to be made."""
        return read_case(self._path(key), key)

    def keep(self, key: str, case: StoredCase) -> StoredCase:
        """Return the case from its file; where it cannot be kept, as it came.

        A disk that is full, or fails, costs time and nothing else.
        """
        try:
            with self._lock:  # two cases may each fit, and not both
                if not self._has_room(case.size_bytes):
                    return case
                write_case(self._path(key), key, case)
        except OSError as error:
            self._say_once(error.strerror or type(error).__name__)
            return case
        return self.find(key) or case

    def _path(self, key: str) -> Path:
        return self._folder / (key + SUFFIX)

    def _has_room(self, size_bytes: int) -> bool:
        """Return whether a case fits; say it where it does not.

        Raises:
            OSError: the folder cannot be looked at.
        """
        if self._size_bytes() + size_bytes > self._limit_bytes:
            self._say_once("its limit is reached (FEDMQ_CASE_CACHE_MB)")
            return False
        if shutil.disk_usage(self._folder).free < size_bytes + self._reserve_bytes:
            self._say_once("its disk is nearly full")
            return False
        return True

    def _size_bytes(self) -> int:
        with os.scandir(self._folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

    def _say_once(self, why: str) -> None:
        if not self._has_said:
            self._has_said = True
            self._say(f"-- the cache keeps no more cases, they are prepared each time: {why}\n")

    def _remove_parts(self) -> None:
        """Remove what processes left that were killed while they wrote."""
        with contextlib.suppress(OSError):
            for part in self._folder.glob(f"*{PART}"):
                with contextlib.suppress(OSError):  # another one removes it too
                    if time.time() - part.stat().st_mtime > _OLD_S:
                        part.unlink()


def case_key(case: Case, frame: Frame, *, with_mask: bool) -> str:
    """Return what a prepared case depends on, as a digest."""
    wanted = (*_IMAGES, _MASK) if with_mask else _IMAGES
    files: list[tuple[object, ...]] = []
    for modality in wanted:
        path = case.volumes.get(modality)
        if path is None:
            continue
        # One that is gone has no stamp: that is no case without it.
        files.append((modality, path.suffix.lower() == ".gz", *(file_stamp(path) or ())))
    settings = {"frame": asdict(frame), "mask": with_mask, "files": files, "by": _preparation()}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@cache
def _preparation() -> str:
    """Return a digest of what prepares cases here: another version may compute other bits."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    for package in _COMPUTING:
        digest.update(f"{package}=={version(package)}".encode())
    return digest.hexdigest()
