"""Containment: what keeps the code of plans from everything but its data, on this machine."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import fedmq
from fedmq.containment.cell import Means
from fedmq.containment.landlock import SCOPES_VERSION, version
from fedmq.containment.probe import SECRET, TOGETHER
from fedmq.errors import ConfigurationError

SCRATCH_PREFIX: Final = "scratch-"
_LIMIT_S: Final = 60.0
_NAMES: Final = {
    Means.NAMESPACES: "namespaces",
    Means.LANDLOCK: "Landlock",
    Means.SECCOMP: "seccomp",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """The means that a machine has, and why not the others."""

    means: frozenset[Means]
    lacks: Mapping[str, str] = field(default_factory=dict)
    """What is missing -> why."""

    @property
    def is_enough(self) -> bool:
        """Whether a plan reaches no network, and no file but those that it is given."""
        keeps_files = {Means.NAMESPACES, Means.LANDLOCK} & self.means
        return bool(keeps_files) and Means.SECCOMP in self.means

    @property
    def level(self) -> str:
        """One word: full, partial or insufficient."""
        if not self.is_enough:
            return "insufficient"
        return "partial" if self.lacks else "full"

    @property
    def line(self) -> str:
        """The level, the means, and what is missing."""
        means = [name for one, name in _NAMES.items() if one in self.means]
        lacks = "".join(f"; no {what}: {why}" for what, why in self.lacks.items())
        return f"{self.level} ({', '.join([*means, 'limits'])}){lacks}"


UNCONTAINED: Final = Containment(means=frozenset(), lacks={"means": "none was asked for"})


def find_containment(folder: Path | None = None) -> Containment:
    """Return what this machine has, tried with harmless processes; takes a fraction of a second.

    `folder` is where trainers will have their folders; else it is tried where temporary files are.
    """
    try:
        place = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=folder))
    except OSError as error:
        return _none(f"nothing could be tried: {error.strerror}")
    try:
        (place / SECRET).write_bytes(b"not for plans")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return read_findings(_probe(place, listener.getsockname()[1]))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return _none(f"nothing could be tried: {type(error).__name__}")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def read_findings(faults: Mapping[str, str]) -> Containment:
    """Return what is left after these faults, by means, or by `together`."""
    if TOGETHER in faults:
        return _none(f"together they do not hold: {faults[TOGETHER]}")
    means = frozenset(one for one in Means if one not in faults)
    lacks = {name: faults[one] for one, name in _NAMES.items() if one in faults}
    if Means.NAMESPACES not in means:
        lacks["strict limit of scratch"] = "it needs namespaces"
        if version() < SCOPES_VERSION:
            lacks["limit of signals"] = "Linux 6.12 is the first to have one without namespaces"
    elif Means.LANDLOCK not in means:
        lacks["strict limit of results"] = "it needs Landlock"
    return Containment(means=means, lacks=lacks)


def require_containment(found: Containment, *, is_uncontained_allowed: bool) -> None:
    """Return if plans may run with this containment.

    Raises:
        ConfigurationError: it is not enough, and nobody has allowed that.
    """
    if found.is_enough or is_uncontained_allowed:
        return
    raise ConfigurationError(
        "plans cannot be kept from the network and from files on this machine",
        why=f"containment: {found.line}",
        fix="allow unprivileged user namespaces (sysctl user.max_user_namespaces, on Ubuntu "
        "kernel.apparmor_restrict_unprivileged_userns), or use Linux 6.2 or newer with Landlock; "
        "FEDMQ_ALLOW_UNCONTAINED=1 runs plans with all rights of this user",
    )


def _probe(place: Path, port: int) -> dict[str, str]:
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-P", "-s", "-m", "fedmq.containment.probe", str(place), str(port)],
        env={"PYTHONPATH": str(Path(fedmq.__file__).parent.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_LIMIT_S,
        check=True,
    )
    faults = json.loads(done.stdout)
    return {str(name): str(why) for name, why in faults.items()}


def _none(why: str) -> Containment:
    return Containment(means=frozenset(), lacks={"means": why})
