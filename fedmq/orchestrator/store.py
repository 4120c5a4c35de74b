"""The store: each experiment's submission, the records of its rounds, and the log of its events.

From the log an experiment is replayed; records are only shown, and nothing keeps them in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from fedmq.encodings.kinds import EXACT, Encoding
from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import ExperimentSpec, Mandate
from fedmq.messages.submissions import RoundRecord
from fedmq.orchestrator.events import EVENT, Event
from fedmq.transport.journal import Cell, Journal
from fedmq.types import ExperimentId, ResearcherId

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS experiments (
    experiment TEXT PRIMARY KEY,
    mandate TEXT NOT NULL,
    plan_source TEXT,
    began_at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    experiment TEXT NOT NULL REFERENCES experiments,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (experiment, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rounds (
    experiment TEXT NOT NULL REFERENCES experiments,
    number INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (experiment, number)
) WITHOUT ROWID;
"""

_PAGE: Final = 500
"""So many rows are in memory at a time: an experiment may have very many."""
_FIRST: Final = 0
_LAST: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An experiment as it was submitted."""

    mandate: Mandate
    plan_source: str | None
    began_at: float
    """Unix seconds."""

    @property
    def experiment(self) -> ExperimentId:
        """Its id."""
        return ExperimentId(self.mandate.order.experiment)

    @property
    def researcher(self) -> ResearcherId:
        """Who ordered it."""
        return ResearcherId(self.mandate.order.researcher)

    @property
    def spec(self) -> ExperimentSpec:
        """What was ordered."""
        return self.mandate.order.spec

    @property
    def encoding(self) -> Encoding:
        """How its updates travel; one of an unknown encoding is not accepted."""
        return self.spec.encoding or EXACT

    @property
    def initial(self) -> Manifest:
        """The parameters of round 0."""
        return self.mandate.order.initial

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
            "INSERT INTO experiments VALUES (?, ?, ?, ?)",
            (kept.experiment, kept.mandate.model_dump_json(), kept.plan_source, kept.began_at),
        )

    def experiments(self) -> Iterator[Kept]:
        """Yield all experiments in the order in which they began."""
        for row in self._journal.rows(
            "SELECT mandate, plan_source, began_at FROM experiments ORDER BY began_at, experiment"
        ):
            mandate, source, began_at = row
            yield Kept(
                mandate=Mandate.model_validate_json(str(mandate)),
                plan_source=None if source is None else str(source),
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
        for _, at, text in self._pages(
            "SELECT number, at, event FROM events"
            " WHERE experiment = ? AND number > ? ORDER BY number LIMIT ?",
            experiment,
            _FIRST,
        ):
            yield float(at or 0.0), EVENT.validate_json(str(text))

    def add_record(self, experiment: ExperimentId, record: RoundRecord) -> None:
        """Keep the record of a closed round."""
        self._journal.execute(
            "INSERT INTO rounds VALUES (?, ?, ?)",
            (experiment, record.round, record.model_dump_json()),
        )

    def records(self, experiment: ExperimentId) -> Iterator[RoundRecord]:
        """Yield the records of all closed rounds in order."""
        for _, text in self._pages(
            "SELECT number, record FROM rounds"
            " WHERE experiment = ? AND number > ? ORDER BY number LIMIT ?",
            experiment,
            _FIRST,
        ):
            yield RoundRecord.model_validate_json(str(text))

    def newest_records(self, experiment: ExperimentId) -> Iterator[RoundRecord]:
        """Yield the records of all closed rounds, the newest first."""
        for _, text in self._pages(
            "SELECT number, record FROM rounds"
            " WHERE experiment = ? AND number < ? ORDER BY number DESC LIMIT ?",
            experiment,
            _LAST,
        ):
            yield RoundRecord.model_validate_json(str(text))

    def _pages(self, sql: str, experiment: ExperimentId, bound: int) -> Iterator[tuple[Cell, ...]]:
        """Yield the rows of a query page by page; each begins behind the number of a row."""
        while rows := self._journal.rows(sql, (experiment, bound, _PAGE)):
            yield from rows
            bound = int(rows[-1][0] or 0)
