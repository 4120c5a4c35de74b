"""A pace: how many of a trainer's reports are passed on. A plan may write them without end."""

from typing import Final

BURST: Final = 50
PER_SECOND: Final = 10


class Pace:
    """Lets `BURST` reports by at once, and then `PER_SECOND`; knows no clock."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._last = 0.0

    def admits(self, now: float) -> bool:
        """Return whether a report that comes now, in seconds, is passed on."""
        self._left = min(BURST, self._left + max(0.0, now - self._last) * PER_SECOND)
        self._last = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
