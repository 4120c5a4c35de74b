"""A log file that stays small: the newest bytes are kept, the oldest half goes."""

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

INCIDENTS_NAME: Final = "incidents.log"
"""What went wrong at a node, beside the codes that it sent."""
DEFAULT_MAX_BYTES: Final = 2**20


class CappedLog:
    """Bytes at `path` and, before them, at `path.1`; both together stay within `max_bytes`.

    Readable by the user of the node alone. What the disk refuses is lost: a log never stops work.
    """

    def __init__(self, path: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.max_bytes: Final = max_bytes
        self._path = path
        self._half = max_bytes // 2
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append `data`; of more than half the cap, its end."""
        data = data[-self._half :]
        with self._lock, contextlib.suppress(OSError):
            size = self._path.stat().st_size if self._path.exists() else 0
            if size + len(data) > self._half:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
