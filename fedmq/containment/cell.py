"""A cell: what a confined process may reach and use. Everything else is refused."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import fedmq

INPUTS: Final = "in"
OUTPUTS: Final = "out"
SCRATCH: Final = "tmp"
ROOT: Final = "root"
_SYSTEM: Final = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/sys/devices/system",
)
"""Programs and libraries of the system, and how many processors it has; no secret of it."""
_INSTALLED: Final = ("bin", "lib", "lib64", "share", "pyvenv.cfg")


class Means(StrEnum):
    """What can be put on a process, each without the others."""

    NAMESPACES = "namespaces"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a confined process and what it starts may use."""

    memory_bytes: int | None = None
    """Of all processes together, a look every quarter of a second, and of each what it can write
    to; None for all that the machine has."""
    scratch_bytes: int = 2**30
    file_bytes: int = 16 * 2**30
    """Of one file."""
    num_processes: int = 512
    """Processes and threads together."""
    num_open_files: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One process's share of a machine: a folder of its own, and what it may read beside it.

    In `folder` stand `in`, which it reads, `out`, whose files it fills, and `tmp`, its own.
    """

    folder: Path
    readable: tuple[Path, ...]
    means: frozenset[Means]
    limits: Limits
    kept: Path | None = None
    """A folder whose files outlive the process, for it and its like to make, read and remove."""

    @property
    def inputs(self) -> Path:
        """The folder of files that are handed in."""
        return self.folder / INPUTS

    @property
    def outputs(self) -> Path:
        """The folder of files that are there, empty, to be filled."""
        return self.folder / OUTPUTS

    @property
    def scratch(self) -> Path:
        """The folder in which anything may be made."""
        return self.folder / SCRATCH

    def make(self) -> None:
        """Make the folders.

        Raises:
            OSError: the disk refuses.
        """
        for name in (INPUTS, OUTPUTS, SCRATCH, ROOT):
            (self.folder / name).mkdir()

    def to_json(self) -> str:
        """Return the cell as text."""
        return json.dumps(
            {
                "folder": str(self.folder),
                "readable": [str(path) for path in self.readable],
                "means": sorted(self.means),
                "limits": asdict(self.limits),
                "kept": None if self.kept is None else str(self.kept),
            }
        )


def parse_cell(text: str) -> Cell:
    """Return the cell that `to_json` wrote down."""
    fields = json.loads(text)
    return Cell(
        folder=Path(fields["folder"]),
        readable=tuple(Path(path) for path in fields["readable"]),
        means=frozenset(Means(word) for word in fields["means"]),
        limits=Limits(**fields["limits"]),
        kept=None if fields["kept"] is None else Path(fields["kept"]),
    )


def installed_paths() -> tuple[Path, ...]:
    """Return what every cell may read: the system's programs, Python, the packages, fedmq.

    Of a prefix only what installers put there: an operator's home may be one.
    """
    package = Path(fedmq.__file__).parent
    prefixes = dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))
    paths = [Path(path) for path in _SYSTEM]
    paths += [Path(prefix) / name for prefix in prefixes for name in _INSTALLED]
    # A checkout holds more than its package.
    paths += [Path(entry) for entry in sys.path if entry and Path(entry) != package.parent]
    paths.append(package)
    return outermost(paths)


def outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return those that are there and lie in no other one, without `..`.

    What is out of reach is not there for a plan either.
    """
    seen = [path for path in paths if os.path.exists(path)]  # noqa: PTH110 - Path's raises
    there = dict.fromkeys(map(_straight, seen))
    return tuple(path for path in there if not there.keys() & set(path.parents))


def _straight(path: Path) -> Path:
    """Return a path to the same without `..`: as it is written, where that is the same."""
    if ".." not in path.parts:
        return path
    straight, real = Path(os.path.normpath(path)), path.resolve()
    return straight if straight.resolve() == real else real
