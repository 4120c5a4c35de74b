"""Times in words of a hospital that sets its clocks twice a year."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

PARIS: Final = ZoneInfo("Europe/Paris")


def at(wall: str, *, fold: int = 0) -> float:
    """Return a wall time of Paris in Unix seconds; `fold` 1: the second of two."""
    return datetime.fromisoformat(wall).replace(tzinfo=PARIS, fold=fold).timestamp()
