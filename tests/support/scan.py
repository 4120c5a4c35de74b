"""Asks every TCP port of an address whether it is open: python -m tests.support.scan ADDRESS.

With two more numbers, the ports from the first up to the second. It prints the open ones. A
firewall that drops says nothing; what has not answered in time is shut.
"""

import asyncio
import socket
import sys
from contextlib import suppress

_AT_ONCE = 8_000
_PATIENCE_S = 1.5


async def is_open(address: str, port: int) -> bool:
    """Return whether somebody takes connections."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as one, suppress(OSError, TimeoutError):
        one.settimeout(0.0)
        async with asyncio.timeout(_PATIENCE_S):
            await loop.sock_connect(one, (address, port))
        return True
    return False


async def scan(address: str, begin: int = 1, end: int = 65_536) -> list[int]:
    """Return the open ports of an address."""
    found: list[int] = []
    for first in range(begin, end, _AT_ONCE):
        ports = range(first, min(first + _AT_ONCE, end))
        answers = await asyncio.gather(*(is_open(address, port) for port in ports))
        found.extend(port for port, answer in zip(ports, answers, strict=True) if answer)
    return found


if __name__ == "__main__":
    print(asyncio.run(scan(sys.argv[1], *map(int, sys.argv[2:]))))  # noqa: T201 - its answer
