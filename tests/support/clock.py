"""A clock that a test sets."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FakeClock:
    """Both clocks show what `read` returns."""

    read: Callable[[], float]

    def now(self) -> float:
        """Return it."""
        return self.read()

    def steady(self) -> float:
        """Return it."""
        return self.read()
