"""The store: each experiment's submission and the log of its events, from which it is replayed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from fedmq.messages.fields import Manifest
from fedmq.messages.submissions import ExperimentSpec
from fedmq.orchestrator.events import EVENT, Event
from fedmq.transport.journal import Journal
from fedmq.types import ExperimentId, ResearcherId

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS experiments (
    experiment TEXT PRIMARY KEY,
    researcher TEXT NOT NULL,
    spec TEXT NOT NULL,
    plan_source TEXT,
    initial TEXT NOT NULL,
    began_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    experiment TEXT NOT NULL REFERENCES experiments,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (experiment, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (
    experiment TEXT NOT NULL REFERENCES experiments,
    round INTEGER NOT NULL,
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL,
    PRIMARY KEY (experiment, round)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An experiment as it was submitted."""

    experiment: ExperimentId
    researcher: ResearcherId
    spec: ExperimentSpec
    plan_source: str | None
    initial: Manifest
    began_at: float
    """Unix seconds."""

    def is_same_as(self, other: "Kept") -> bool:
        """Return whether both are one submission, whenever it came."""
        return self == replace(other, began_at=self.began_at)


class Store:
    """The experiments of one orchestrator; every call belongs to the transaction around it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, kept: Kept) -> None:
        """Keep a new experiment."""
        self._journal.execute(
            "INSERT INTO experiments VALUES (?, ?, ?, ?, ?, ?)",
            (
                kept.experiment,
                kept.researcher,
                kept.spec.model_dump_json(),
                kept.plan_source,
                kept.initial.model_dump_json(),
                kept.began_at,
            ),
        )

    def experiments(self) -> Iterator[Kept]:
        """Yield all experiments in the order in which they began."""
        for row in self._journal.rows(
            "SELECT experiment, researcher, spec, plan_source, initial, began_at"
            " FROM experiments ORDER BY began_at, experiment"
        ):
            experiment, researcher, spec, source, initial, began_at = row
            yield Kept(
                experiment=ExperimentId(str(experiment)),
                researcher=ResearcherId(str(researcher)),
                spec=ExperimentSpec.model_validate_json(str(spec)),
                plan_source=None if source is None else str(source),
                initial=Manifest.model_validate_json(str(initial)),
                began_at=float(began_at or 0.0),
            )

    def append(self, experiment: ExperimentId, event: Event, at: float) -> None:
        """Add an event to the log."""
        self._journal.execute(
            "INSERT INTO events SELECT ?, coalesce(max(number), 0) + 1, ?, ?"
            " FROM events WHERE experiment = ?",
            (experiment, at, EVENT.dump_json(event).decode(), experiment),
        )

    def events(self, experiment: ExperimentId) -> Iterator[tuple[float, Event]]:
        """Yield the log in order, each event with its time."""
        for at, text in self._journal.rows(
            "SELECT at, event FROM events WHERE experiment = ? ORDER BY number", (experiment,)
        ):
            yield float(at or 0.0), EVENT.validate_json(str(text))

    def add_traffic(self, experiment: ExperimentId, number: int, up: int, down: int) -> None:
        """Add to the bytes of a round; a round may take several lives of the orchestrator."""
        self._journal.execute(
            "INSERT INTO traffic VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " bytes_up = bytes_up + excluded.bytes_up,"
            " bytes_down = bytes_down + excluded.bytes_down",
            (experiment, number, up, down),
        )

    def traffic(self, experiment: ExperimentId) -> dict[int, tuple[int, int]]:
        """Return the bytes up and down of each round."""
        rows = self._journal.rows(
            "SELECT round, bytes_up, bytes_down FROM traffic WHERE experiment = ?", (experiment,)
        )
        return {int(row[0] or 0): (int(row[1] or 0), int(row[2] or 0)) for row in rows}
