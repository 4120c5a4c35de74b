"""Retention: how much of what nothing needs any more is kept, and for how long. Pure."""

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a program keeps for people, and against repeats."""

    num_models: int = 10
    """The models of so many rounds of an experiment stay: the last ones."""
    days: float = 30.0
    """Of messages that belong to no experiment, the ids stay so long."""

    def before(self, now: float) -> float:
        """Return the moment before which such an id came that may go."""
        return now - self.days * DAY_S
