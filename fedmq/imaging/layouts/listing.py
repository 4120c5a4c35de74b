"""Listings: the names of what lies in a dataset's folder, without a look into any file."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedmq.errors import DatasetError

MAX_DEPTH: Final = 7
"""Folders below one another: BIDS has six, with derivatives."""
MAX_ENTRIES: Final = 2_000_000
_FOLDER: Final = "the folder of the dataset"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SYSTEM_FILES: Final = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or folder below the dataset's folder."""

    path: str
    """Names joined by `/`, as they are on the disk."""
    is_folder: bool = False
    fault: str = ""
    """Why it is not looked at: hidden, a link to nowhere, a name that cannot be shown, no right."""

    @property
    def name(self) -> str:
        """The last of the names."""
        return self.path.rpartition("/")[2]


def is_there(look: Callable[[], bool], *, what: str) -> bool:
    """Return what a look at a place says: `path.is_dir`, or `path.is_file`.

    Raises:
        DatasetError: code unreadable, of `what`: nobody lets this user look.
    """
    try:
        return look()
    except OSError as error:
        raise _unreadable_error(what, error) from error


def list_entries(folder: Path, *, depth: int = MAX_DEPTH) -> tuple[Entry, ...]:
    """Return what lies in `folder`, down to `depth` names, by path; links are followed.

    A folder in it that cannot be read is there twice, the second time with its fault.

    Raises:
        DatasetError: code missing_file (there is no folder), too_many_files or unreadable.
    """
    if not is_there(folder.is_dir, what=_FOLDER):
        raise DatasetError(
            "the folder of the dataset is missing", code="missing_file", fix="give its right path"
        )
    found: list[Entry] = []
    for entry in _walk(folder, "", depth, ()):
        found.append(entry)
        if len(found) > MAX_ENTRIES:
            raise DatasetError(
                "the folder of the dataset holds too many files",
                code="too_many_files",
                why=f"there are more than {MAX_ENTRIES}",
                fix="name the folder of the volumes alone",
            )
    return tuple(sorted(found, key=lambda entry: entry.path))


def _walk(folder: Path, above: str, depth: int, parents: tuple[str, ...]) -> Iterator[Entry]:
    real = os.path.realpath(folder)
    if real in parents:
        yield Entry(path=above.rstrip("/"), fault="a link that leads round in a circle")
        return
    try:
        with os.scandir(folder) as places:
            inside = list(places)
    except OSError as error:
        if above:  # the others' cases are as they were
            yield Entry(path=above.rstrip("/"), fault=_unreadable(error))
            return
        raise _unreadable_error(_FOLDER, error) from error
    for place in inside:
        path = above + place.name
        if fault := _fault(place):
            yield Entry(path=path, fault=fault)
        elif place.is_dir():
            yield Entry(path=path, is_folder=True)
            if depth > 1:
                yield from _walk(folder / place.name, f"{path}/", depth - 1, (*parents, real))
        else:
            yield Entry(path=path)


def _fault(place: "os.DirEntry[str]") -> str:
    if place.name.startswith(".") or place.name.lower() in _SYSTEM_FILES:
        return "hidden, or an operating system's own"
    try:
        place.name.encode()
    except UnicodeEncodeError:
        return "its name is no Unicode: rename it"
    if _CONTROL.search(place.name):
        return "its name has a control character, such as a line feed: rename it"
    try:
        is_there = place.is_dir() or place.is_file() or not place.is_symlink()
    except OSError as error:
        is_there = error.errno != errno.ELOOP
        if is_there:
            return _unreadable(error)
    return "" if is_there else "a link that leads nowhere"


def _unreadable_error(what: str, error: OSError) -> DatasetError:
    return DatasetError(
        f"{what} cannot be read",
        code="unreadable",
        why=os.strerror(error.errno or 0),
        fix="let the user that the node runs as read it",
    )


def _unreadable(error: OSError) -> str:
    return f"it cannot be read: {os.strerror(error.errno or 0)}"
