"""Where something takes connections. Pure."""

import ipaddress
from typing import NamedTuple


class Address(NamedTuple):
    """Where a broker, one node of a cluster, or a proxy takes connections."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return both as they stand in addresses: hub.example.org:443, [fd00::1]:443."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_this_machine(self) -> bool:
        """Whether it never leaves this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
