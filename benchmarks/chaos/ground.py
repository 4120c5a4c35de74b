"""The ground under a federation: lines that can be cut and disks that can be filled."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.chaos.members import ORCHESTRATOR
from tests.support import hosts as hosts_support
from tests.support import small_disk as disk_support
from tests.support.federation import CENTRE, LYON, PARIS
from tests.support.hosts import Hosts, made_hosts
from tests.support.small_disk import SmallDisk, small_disk

SERVICES: Final = (ORCHESTRATOR, LYON, PARIS)
_NODE_MB: Final = 128
_ORCHESTRATOR_MB: Final = 2_048
"""Each experiment leaves the models of its rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Hosts and disks of services, by their names; without either they share the machine's."""

    hosts: Hosts | None = None
    disks: Mapping[str, SmallDisk] = field(default_factory=dict)

    def way(self, name: str) -> Sequence[str]:
        """Return what stands before a program's command: its disk's, then its host's."""
        disk = self.disks.get(name)
        return (
            *(() if disk is None else disk.command),
            *(() if self.hosts is None else self.hosts.way(name)),
        )

    def home(self, name: str, home: Path) -> Path:
        """Return where this process finds the home of a service."""
        disk = self.disks.get(name)
        return home if disk is None else disk.outside

    def cut(self, name: str, directions: Sequence[str]) -> None:
        """Cut a service's line, if it has one, without a word to either end."""
        if self.hosts is not None:
            self.hosts.change(name, *directions, cut=True)

    def heal(self, name: str) -> None:
        """Make a service's line, if it has one, perfect."""
        if self.hosts is not None:
            self.hosts.heal(name)


@contextmanager
def made_ground(federation: Path, *, lines: bool, disks: bool) -> Iterator[Ground]:
    """Yield the ground of a federation that is to be in a folder; it goes with what is on it."""
    _require(lines=lines, disks=disks)
    with ExitStack() as stack:
        hosts = stack.enter_context(made_hosts(*SERVICES)) if lines else None
        small = {}
        for name in SERVICES if disks else ():
            is_node = name != ORCHESTRATOR
            home = federation / name / "node" if is_node else federation / CENTRE / ORCHESTRATOR
            size_mb = _NODE_MB if is_node else _ORCHESTRATOR_MB
            small[name] = stack.enter_context(small_disk(home, size_mb=size_mb))
        yield Ground(hosts=hosts, disks=small)


def _require(*, lines: bool, disks: bool) -> None:
    """Return if this machine can give such a ground.

    Raises:
        SystemExit: it cannot, and why.
    """
    if lines and (why := hosts_support.why_not()):
        raise SystemExit(f"--lines needs network namespaces: {why}")
    if disks and (why := disk_support.why_not()):
        raise SystemExit(f"--disks needs mounts of its own: {why}")
    if lines and disks and os.geteuid() != 0:
        raise SystemExit("only root may have --lines and --disks together; take one of them")
