"""The port to time: what the wall says, and what has gone by.

Two clocks, because one cannot do both: the wall's is what people and other machines know, and it
may be set; the steady one only ever goes on, and nobody outside the process knows it. What is
written down or sent takes the wall's; whoever waits takes the steady one.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Time as one program sees it."""

    def now(self) -> float:
        """Return Unix seconds; somebody may set this clock forwards or backwards."""

    def steady(self) -> float:
        """Return seconds since some moment; they never go back."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def steady(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()
