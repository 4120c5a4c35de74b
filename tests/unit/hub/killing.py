"""Processes that are killed at a certain write to a folder."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_WRITES: Final = frozenset({"os.rename", "os.remove", "os.chmod", "open"})


def killed(act: Callable[[], object], folder: Path, step: int) -> bool:
    """Return whether a process that acts was killed at its step-th write below a folder."""
    child = os.fork()
    if child == 0:
        left = step

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event not in _WRITES or not str(arguments[0]).startswith(str(folder)):
                return
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
