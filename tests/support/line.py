"""Lines between hosts that a test makes, slows and cuts: packets go through this program.

Run inside a user and network namespace of its own (`unshare --user --map-root-user --net`), it
makes one more network namespace for the hub and one for each host, and a line from each host to the
hub. A line carries Ethernet frames; each direction has a delay, a loss, a rate, and may be cut
without a word to either end. So TCP behaves as it does on a bad line, which a proxy could not show,
and neither root nor `netem` of the kernel is needed. Everything ends when its stdin does.

It says where the hosts are in one line of JSON, then reads commands, a line of JSON each, and
answers each with the number of bytes that the direction was given to carry so far:
{"host": "chu-lyon", "direction": "up", "cut": false, "delay_s": 0.25, "loss": 0.05, "rate": 125000}
"""

import array
import fcntl
import heapq
import json
import random
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MTU: Final = 1500
_EVERY_PROTOCOL: Final = 3
_ETHTOOL: Final = 0x8946
_SET_CHECKSUMS: Final = 0x17
_QUEUE_S: Final = 0.5
"""So much of a line's rate may wait for it; what comes then is dropped, as a router does."""


@dataclass(slots=True)
class Direction:
    """One direction of a line: what is under way on it, and what becomes of the next frame."""

    source: socket.socket
    target: socket.socket
    chance: random.Random
    cut: bool = False
    delay_s: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    """Bytes in a second; 0: as fast as it goes."""
    free_at: float = 0.0
    under_way: list[tuple[float, int, bytes]] = field(default_factory=list)
    number: int = 0
    num_bytes: int = 0
    """What it was given to carry, be it lost or not."""

    def take(self) -> None:
        """Take a frame from its source."""
        frame, address = self.source.recvfrom(MTU + 64)
        if address[2] == socket.PACKET_OUTGOING:
            return
        self.num_bytes += len(frame)
        if self.cut or self.chance.random() < self.loss:
            return
        now = time.monotonic()
        if self.rate:
            self.free_at = max(now, self.free_at)
            if self.free_at - now > _QUEUE_S:
                return
            self.free_at += len(frame) / self.rate
        self.number += 1
        at = (self.free_at if self.rate else now) + self.delay_s
        heapq.heappush(self.under_way, (at, self.number, frame))

    def pass_on(self) -> float:
        """Hand over what has arrived; return when the next frame does."""
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            frame = heapq.heappop(self.under_way)[2]
            if not self.cut:
                self.target.send(frame)
        return self.under_way[0][0] if self.under_way else time.monotonic() + 1.0

    def change(self, **values: Any) -> None:  # noqa: ANN401 - the words of a command
        """Be another line from here on; a cut one forgets what was under way."""
        for name, value in values.items():
            setattr(self, name, value)
        if self.cut:
            self.under_way.clear()


def serve(direction: Direction) -> None:
    """Carry frames for ever."""
    while True:
        wait_s = max(0.0, direction.pass_on() - time.monotonic())
        if select.select([direction.source], [], [], wait_s)[0]:
            direction.take()


def main(hosts: Sequence[str]) -> None:
    """Make the namespaces and the lines; obey until stdin ends."""
    holders = {name: _hold() for name in ("hub", *hosts)}
    lines: dict[str, dict[str, Direction]] = {}
    addresses = {}
    for number, host in enumerate(hosts, start=1):
        hub_end = _connect(holders["hub"].pid, f"hub{number}", f"10.77.{number}.1", f"to{number}")
        host_end = _connect(holders[host].pid, f"host{number}", f"10.77.{number}.2", "eth0")
        addresses[host] = f"10.77.{number}.1"
        lines[host] = {
            "up": Direction(host_end, hub_end, random.Random(number)),
            "down": Direction(hub_end, host_end, random.Random(-number)),
        }
    for line in lines.values():
        for direction in line.values():
            threading.Thread(target=serve, args=(direction,), daemon=True).start()
    pids = {name: holder.pid for name, holder in holders.items()}
    print(json.dumps({"pids": pids, "hub": addresses}), flush=True)  # noqa: T201 - its answer
    for text in sys.stdin:
        command = json.loads(text)
        line = lines[command.pop("host")]
        direction = line[command.pop("direction")]
        direction.change(**command)
        print(direction.num_bytes, flush=True)  # noqa: T201 - its answer


def _hold() -> subprocess.Popen[bytes]:
    """Return a process that keeps a network namespace until this one ends."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"],  # noqa: S607
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"up\n"
    return holder


def _connect(pid: int, here: str, address: str, there: str) -> socket.socket:
    """Return this end of a wire to a namespace, whose own end has the address."""
    _ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", str(pid))
    inside = ("nsenter", "--target", str(pid), "--net")
    _ip("address", "add", f"{address}/30", "dev", there, within=inside)
    _ip("link", "set", there, "up", within=inside)
    _ip("link", "set", here, "up")
    # A wire within the kernel leaves checksums and the cutting of segments to its far end.
    without_offload = f"from tests.support.line import set_off; set_off({there!r})"
    subprocess.run([*inside, sys.executable, "-c", without_offload], check=True)  # noqa: S603
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
    end.bind((here, _EVERY_PROTOCOL))
    return end


def set_off(interface: str) -> None:
    """Let the kernel write checksums itself on an interface."""
    wish = array.array("B", struct.pack("II", _SET_CHECKSUMS, 0))
    asked = struct.pack("16sP", interface.encode(), wish.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        fcntl.ioctl(end, _ETHTOOL, asked)


def _ip(*words: str, within: Sequence[str] = ()) -> None:
    subprocess.run([*within, "ip", *words], check=True)  # noqa: S603


if __name__ == "__main__":
    main(sys.argv[1:])
