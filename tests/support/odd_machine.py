"""`fedmq` on a machine with a wrong clock and a failing disk, as files in a folder say.

    python -m tests.support.odd_machine FOLDER node start

FOLDER/clock holds by how many seconds the wall clock is wrong, at any moment: what a person or a
bad time server does to it; the steady one goes on. While FOLDER/failing is there, every sync fails.
"""

import datetime as dt
import errno
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

_right_time = time.time
_sound_sync = os.fsync


class OddMachine:
    """The machine of one home, as a test makes it odd."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.command: Sequence[str] = (
            sys.executable,
            "-m",
            "tests.support.odd_machine",
            str(folder),
        )
        """What stands for `fedmq` there."""

    def set_clock(self, wrong_s: float) -> None:
        """Set the wall clock."""
        new = self._folder / "clock.new"
        new.write_text(str(wrong_s))
        new.replace(self._folder / "clock")

    def let_syncs_fail(self) -> None:
        """Let every sync of a file fail from here on."""
        (self._folder / "failing").touch()

    def make_sound(self) -> None:
        """Let all be as it should."""
        for name in ("failing", "clock"):
            (self._folder / name).unlink(missing_ok=True)


def make_odd(folder: Path) -> None:
    """Let this process be on the machine of `folder` from here on."""

    def now() -> float:
        with suppress(OSError, ValueError):
            return _right_time() + float((folder / "clock").read_text())
        return _right_time()

    def sync(descriptor: int) -> None:
        if (folder / "failing").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        _sound_sync(descriptor)

    class Datetime(dt.datetime):
        """The same clock, as logs read it."""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls.fromtimestamp(now(), tz)

    time.time = now
    dt.datetime = Datetime  # type: ignore[misc]
    os.fsync = sync


if __name__ == "__main__":
    import cryptography.x509  # noqa: F401 - its machine code knows one class of moments

    make_odd(Path(sys.argv.pop(1)))
    from fedmq.cli.main import main  # only now: whatever it imports is to see the odd machine

    main()
