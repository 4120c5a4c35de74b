"""A folder in which what a mode closes is closed, whoever runs the tests."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_NOBODY = 65534


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Give a folder to somebody whom modes keep out, and be that user: root they do not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        with contextlib.ExitStack() as stack:
            if os.geteuid() == 0:
                os.seteuid(_NOBODY)
                stack.callback(os.seteuid, 0)
            yield folder


@contextlib.contextmanager
def closed(folder: Path) -> Iterator[None]:
    """Let nobody look into a folder for a while."""
    folder.chmod(0)
    try:
        yield
    finally:
        folder.chmod(0o700)
