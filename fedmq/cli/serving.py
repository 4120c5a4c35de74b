"""Services as processes: logs on, the broker reached, ended by SIGTERM or Ctrl-C in order."""

import ctypes
import os
import signal
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final

from fedmq.hub.logins import login_of
from fedmq.hub.membership import Membership
from fedmq.settings import read_settings
from fedmq.transport.machine import Machine
from fedmq.transport.ports import Sink, Transport

_KEPT_BYTES: Final = 32 * 2**20
_SAID_BY: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> None:
    """Have the allocator keep some megabytes that were freed, for the next chunk.

    glibc gives pieces as large as a chunk back to Linux at once, which clears each page of them
    when they are asked for again: a third of the processor time of receiving a payload. Where
    there is no glibc, or the environment says what it is to do, it is left alone. See mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not any(name in os.environ for name in _SAID_BY):
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            mallopt(parameter, _KEPT_BYTES)


def make_transport(
    machine: Machine, membership: Membership, program: str
) -> Callable[[Sink], Transport]:
    """Return what opens the way to the broker for a sink."""
    settings = read_settings()
    login = login_of(membership, settings, program)
    return partial(machine.transport, login)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """End the service in order when somebody asks for it."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
