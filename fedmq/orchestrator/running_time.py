"""Running time: the time of experiments, which goes on only while the orchestrator runs.

Deadlines are for nodes, and no node can answer an orchestrator that is away. The wall's clock gives
the first moment and nothing after it: set by hours or years, it ends no round.
"""

from typing import Final

from fedmq.clocks import Clock
from fedmq.transport.journal import Journal

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS running_time (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at REAL NOT NULL
);
"""
KEEP_S: Final = 60.0
"""A life that was cut off loses at most so much of its time."""


class RunningTime:
    """Seconds that begin as the Unix time of the first life and are kept from life to life."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        """Go on from what was kept, and from the newest event; begin by the wall's clock once."""
        self._journal = journal
        self._clock = clock
        kept = journal.cell("SELECT at FROM running_time")
        newest = journal.cell("SELECT max(at) FROM events")
        known = [float(at) for at in (kept, newest) if at is not None]
        self._base = max(known) if known else clock.now()
        self._began_at = self._kept_at = clock.steady()
        if kept is None:
            self._write()

    def now(self) -> float:
        """Return the time of experiments."""
        return self._base + self._clock.steady() - self._began_at

    def keep(self) -> None:
        """Write it down now and then."""
        if self._clock.steady() >= self._kept_at + KEEP_S:
            self._kept_at = self._clock.steady()
            self._write()

    def _write(self) -> None:
        self._journal.execute(
            "INSERT INTO running_time VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
            (self.now(),),
        )
