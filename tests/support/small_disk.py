"""A small disk for one home: a tmpfs in a mount namespace of its own, filled by a file."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.federation import until

_READY: Final = "mounted"
_FILLER: Final = "somebody-elses-file"
_BLOCK: Final = bytes(2**20)


def why_not() -> str:
    """Return why no small disk can be mounted on this machine, empty if one can."""
    mount = ["mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        tried = subprocess.run(  # noqa: S603 - the machine's own programs
            [*_apart(), *mount], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return "unshare (of util-linux) is not installed"
    return f"this user can mount none: {tried.stderr.strip()[:100]}" if tried.returncode else ""


class SmallDisk:
    """A folder on a disk of its own, which whoever is put there sees, and nobody else."""

    def __init__(self, folder: Path, holder: int, *, is_root: bool) -> None:
        self.outside = Path(f"/proc/{holder}/root{folder}")
        """Where those find it who are not there."""
        user = () if is_root else ("-U", "--preserve-credentials")
        self.command: Sequence[str] = ("nsenter", "-t", str(holder), "-m", *user, "--")
        """What a command begins with that is to see the disk."""

    @property
    def free_bytes(self) -> int:
        """How much room there is."""
        found = os.statvfs(self.outside)
        return found.f_bavail * found.f_frsize

    def has(self, path: Path) -> bool:
        """Return whether a file is on the disk."""
        return (self.outside / path).exists()

    def shorten(self, name: str, lost_bytes: int) -> None:
        """Take the end of a file away."""
        path = self.outside / name
        size = path.stat().st_size
        assert size > lost_bytes
        os.truncate(path, size - lost_bytes)

    def fill(self) -> None:
        """Take all the room there is."""
        with (self.outside / _FILLER).open("ab", buffering=0) as file:
            while self.free_bytes:
                file.write(_BLOCK[: self.free_bytes])

    def clear(self) -> None:
        """Give the room back."""
        (self.outside / _FILLER).unlink(missing_ok=True)

    def remount(self, option: str) -> None:
        """Mount it anew: `ro` or `rw`."""
        inside = str(self.outside).partition("/root")[2]
        mount = [*self.command, "mount", "-o", f"remount,{option}", inside]

        def is_done() -> bool:
            """Not while a program that was killed still ends, with files that it wrote to."""
            return subprocess.run(mount, check=False).returncode == 0  # noqa: S603 - the machine's own

        until(is_done, f"{self.outside} mounted {option}")


@contextmanager
def small_disk(folder: Path, *, size_mb: int) -> Iterator[SmallDisk]:
    """Yield a disk of `size_mb` at `folder`, which goes with all that is on it."""
    folder.mkdir(parents=True, exist_ok=True)
    is_root = os.geteuid() == 0
    script = f'mount -t tmpfs -o size={size_mb}m tmpfs "$0" && echo {_READY} && exec cat'
    holder = subprocess.Popen(  # noqa: S603 - the machine's own unshare
        [*_apart(), "sh", "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == _READY, "no small disk can be mounted here"
        yield SmallDisk(folder, holder.pid, is_root=is_root)
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()


def _apart() -> tuple[str, ...]:
    """Return what a command begins with that gets a mount namespace of its own."""
    return ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-Urm")
