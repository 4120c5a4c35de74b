"""Hospitals behind firewalls: network namespaces on one bridge, with rules of nftables.

The bridge is the whole of the world: hub, hospitals and a proxy are neighbours on it, so whatever
is kept out is kept out by the hospitals' own rules. Needs neither root nor the machine's network.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

HUB: Final = "hub"
_NEW: Final = ("unshare", "--user", "--map-root-user", "--net")
_WALL: Final = """\
table inet wall {{
  chain input {{
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    counter drop
  }}
  chain output {{
    type filter hook output priority 0; policy drop;
    oif lo accept
    ct state established accept
    {family} daddr {address} tcp dport {port} accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    counter drop
  }}
}}
"""


def why_not() -> str:
    """Return why no firewalls can be made on this machine, empty if they can."""
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    if nft is None:
        return "nft (of nftables) is not installed"
    tried = subprocess.run(  # noqa: S603 - programs of the system
        [*_NEW, nft, "add table inet try"], capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else f"nft cannot be used: {tried.stderr.strip()[:100]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The namespaces, by name, with their addresses."""

    pids: dict[str, int]
    addresses: dict[str, str]
    newer: dict[str, str]
    """Their addresses of IPv6; they have both."""

    def way(self, host: str) -> Sequence[str]:
        """Return what stands before a command that runs on a host; the hub's unless it has one."""
        pid = self.pids.get(host, self.pids[HUB])
        return ("nsenter", "--target", str(pid), "--user", "--net", "--preserve-credentials")

    def run(self, host: str, *words: str, text: str | None = None) -> str:
        """Return what a command says that runs on a host."""
        ended = subprocess.run(  # noqa: S603 - programs of the system and of the tests
            [*self.way(host), *words], input=text, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (words, ended.stderr)
        return ended.stdout

    def wall(self, host: str, target: str, port: int) -> None:
        """Let nothing into a host, and out of it nothing but TCP to one address and port."""
        family = "ip6" if ":" in target else "ip"
        rules = _WALL.format(family=family, address=target, port=port)
        self.open(host)
        self.run(host, "nft", "-f", "-", text=rules)

    def open(self, host: str) -> None:
        """Let everything into a host and out of it."""
        self.run(host, "nft", "flush ruleset")


@contextmanager
def made_world(*names: str) -> Iterator[World]:
    """Yield a hub and hosts on one bridge; all is gone afterwards."""
    with ExitStack() as ends:
        hub = ends.enter_context(_held(_NEW))
        pids = {HUB: hub.pid}
        world = World(pids=pids, addresses={}, newer={})
        world.run(HUB, "ip", "link", "add", "bridge0", "type", "bridge")
        _address(world, HUB, "bridge0", 1)
        for number, name in enumerate(names, 2):
            # Within the hub's user namespace, so that the hub may put wires into it.
            pids[name] = ends.enter_context(_held((*world.way(HUB), "unshare", "--net"))).pid
            wire = f"wire{number}"
            world.run(
                HUB, "ip", "link", "add", wire, "type", "veth",
                "peer", "name", "eth0", "netns", str(pids[name]),
            )  # fmt: skip
            world.run(HUB, "ip", "link", "set", wire, "master", "bridge0", "up")
            _address(world, name, "eth0", number)
        yield world


def _address(world: World, host: str, interface: str, number: int) -> None:
    world.addresses[host], world.newer[host] = f"10.77.0.{number}", f"fd77::{number}"
    world.run(host, "ip", "address", "add", f"{world.addresses[host]}/24", "dev", interface)
    # Nobody else has it: it is good at once.
    world.run(host, "ip", "address", "add", f"{world.newer[host]}/64", "dev", interface, "nodad")
    world.run(host, "ip", "link", "set", interface, "up")


@contextmanager
def _held(begin: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that keeps a network namespace, and is gone afterwards."""
    holder = subprocess.Popen(  # noqa: S603 - programs of the system
        [*begin, "sh", "-c", "ip link set lo up && echo up && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"up\n"
        yield holder
        holder.stdin.close()
