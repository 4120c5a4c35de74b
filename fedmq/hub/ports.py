"""The ports of a private broker: chosen once, free at that moment, all on loopback."""

import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the range from which the kernel takes the ports of outgoing connections.
_RANGE: Final = range(20_000, 32_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of a private broker."""

    amqp: int
    management: int
    prometheus: int
    distribution: int
    epmd: int


def choose_ports() -> Ports:
    """Return five ports of loopback that are free now."""
    chosen: dict[int, None] = {}
    while len(chosen) < len(Ports.__slots__):
        number = secrets.choice(_RANGE)
        with suppress(OSError), socket.socket() as trial:
            trial.bind((LOOPBACK, number))
            chosen[number] = None
    return Ports(**dict(zip(Ports.__slots__, chosen, strict=True)))


def is_open(port: int, address: str = LOOPBACK) -> bool:
    """Return whether somebody takes connections at a port of this machine's address."""
    with suppress(OSError), socket.create_connection((address, port), timeout=1.0):
        return True
    return False
