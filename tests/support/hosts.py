"""Hosts with a network of their own, each at the end of a line to the hub's that a test rules.

The hub's broker listens on its host's loopback and, once `listen` is called, on the hub's end of
every line: nothing of it can be reached from the machine's own network.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import fedmq

HUB: Final = "hub"
_TREE: Final = Path(fedmq.__file__).parent.parent
_NEW: Final = ("unshare", "--user", "--map-root-user", "--net")


def why_not() -> str:
    """Return why no hosts can be made on this machine, empty if they can."""
    try:
        tried = subprocess.run(  # noqa: S603 - programs of the system
            [*_NEW, "ip", "link", "add", "try0", "type", "veth", "peer", "name", "try1"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return "unshare (of util-linux) is not installed"
    if tried.returncode == 0:
        return ""
    return f"this machine lets its user make none: {tried.stderr.strip()[:100]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The hosts, while they are."""

    pids: dict[str, int]
    addresses: dict[str, str]
    """By host: where it finds the hub."""
    commands: IO[str]
    answers: IO[str]

    def way(self, host: str) -> Sequence[str]:
        """Return what stands before a command that runs on a host; the hub's unless it has one."""
        pid = self.pids.get(host, self.pids[HUB])
        return ("nsenter", "--target", str(pid), "--user", "--net", "--preserve-credentials")

    def change(self, host: str, *directions: str, **values: float | bool) -> int:
        """Change directions of a line (`up`: from the host to the hub), both unless told.

        Returns how many bytes they were given to carry so far.
        """
        carried = 0
        for direction in directions or ("up", "down"):
            command = {"host": host, "direction": direction, **values}
            self.commands.write(json.dumps(command) + "\n")
            self.commands.flush()
            carried += int(self.answers.readline())
        return carried

    def heal(self, host: str) -> None:
        """Make a line perfect."""
        self.change(host, cut=False, delay_s=0.0, loss=0.0, rate=0.0)


@contextmanager
def made_hosts(*names: str) -> Iterator[Hosts]:
    """Yield hosts with lines to the hub's; they and their networks are gone afterwards."""
    line = subprocess.Popen(  # noqa: S603 - a program of the tests
        [*_NEW, sys.executable, "-m", "tests.support.line", *names],
        env={**os.environ, "PYTHONPATH": str(_TREE)},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert line.stdin is not None
    assert line.stdout is not None
    with line:
        said = json.loads(line.stdout.readline())
        yield Hosts(
            pids=said["pids"], addresses=said["hub"], commands=line.stdin, answers=line.stdout
        )
        line.stdin.close()
