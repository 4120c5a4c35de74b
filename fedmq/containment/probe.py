"""What this machine has of the means: tried, each by itself and then together, not looked up.

`python -m fedmq.containment.probe FOLDER PORT` prints what failed and why, as JSON. FOLDER holds a
file `secret`, and at PORT of this machine somebody listens: neither may be in reach of a cell.
"""

import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fedmq.containment import landlock, seccomp
from fedmq.containment.cell import Cell, Limits, Means
from fedmq.containment.confine import confine

SECRET: Final = "secret"  # noqa: S105 - the name of a file
TOGETHER: Final = "together"
_OF_FILES: Final = frozenset({Means.NAMESPACES, Means.LANDLOCK})
_OF_NETWORK: Final = frozenset({Means.NAMESPACES, Means.SECCOMP})
_TRIAL: Final = "trial-"
_WORDS_BYTES: Final = 1000


def main() -> int:
    """Print why which means cannot be had, and what is wrong with all the others together."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    faults = {means: _why_not(means) or _try({means}, folder, port) for means in Means}
    found = {means for means, why in faults.items() if not why}
    faulty: dict[str, str] = {str(means): why for means, why in faults.items() if why}
    if len(found) > 1 and (why := _try(found, folder, port)):
        faulty[TOGETHER] = why
    sys.stdout.write(json.dumps(faulty))
    return 0


def _why_not(means: Means) -> str:
    """Return what is known to stand against a means before it is tried."""
    spoken = landlock.version()
    if means is Means.LANDLOCK and spoken < landlock.LEAST_VERSION:
        return f"version {spoken} of this kernel, at least {landlock.LEAST_VERSION} is needed"
    if not seccomp.is_known_machine():
        return "this kind of processor is not known to fedmq"
    return ""


def _try(means: set[Means], folder: Path, port: int) -> str:
    """Return what fails with these means, by a child that puts them on and tries to get out."""
    trial = folder / (_TRIAL + "-".join(sorted(means)))
    trial.mkdir()
    cell = Cell(folder=trial, readable=(), means=frozenset(means), limits=Limits())
    cell.make()
    reading, writing = os.pipe()
    this = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        words = "it ended without a word"
        try:
            confine(cell, this)
            words = _escape(means, folder, port)
        except OSError as error:
            words = str(error.strerror)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is told and not raised
            words = type(error).__name__
        finally:
            os.write(writing, (words or "ok").encode()[:_WORDS_BYTES])
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        words = pipe.read().decode() or "it ended without a word"
    os.waitpid(child, 0)
    return "" if words == "ok" else words


def _escape(means: set[Means], folder: Path, port: int) -> str:
    """Return what could be reached that may not be, from within."""
    ways: Mapping[str, tuple[frozenset[Means], Callable[[], object]]] = {
        "a file could be read": (_OF_FILES, (folder / SECRET).read_bytes),
        "a file could be written": (_OF_FILES, lambda: (folder / "written").write_bytes(b"x")),
        "a connection could be made": (
            _OF_NETWORK,
            lambda: socket.create_connection(("127.0.0.1", port), timeout=5).close(),
        ),
    }
    for words, (against, act) in ways.items():
        if means & against:
            with contextlib.suppress(OSError):
                act()
                return words
    return ""


if __name__ == "__main__":
    sys.exit(main())
