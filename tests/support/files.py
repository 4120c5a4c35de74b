"""Files of a test's folder, as the code reads and writes them."""

from pathlib import Path

from fedmq.disk import LocalDisk, NewFile, StoredFile


def stored(path: Path) -> StoredFile:
    """Return the file at `path`, to be read piece by piece."""
    return StoredFile(LocalDisk(path.parent), path.name)


def new_file(path: Path) -> NewFile:
    """Return a file at `path`, to be written from its beginning."""
    return NewFile(LocalDisk(path.parent), path.name)
