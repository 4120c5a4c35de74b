"""A run: one experiment that an orchestrator leads, seen from the researcher's side."""

import html
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from fedmq.errors import BrokerRefused, StorageError, TransportError
from fedmq.messages.fields import RatioField
from fedmq.messages.submissions import ExperimentReport, QueryKind, RoundRecord
from fedmq.parameters import Parameters, load_parameters
from fedmq.researcher.counts import describe_counts, is_count
from fedmq.types import ExperimentId

OVER: Final = frozenset({"finished", "finished_short", "failed", "stopped"})
PATIENCE_S: Final = 3600.0
"""So long who follows a run waits for a broker or an orchestrator that went away."""
_LAZINESS: Final = 0.1
"""Share of the time since the last change that may pass until the next is seen."""
_LAZIEST_S: Final = 15.0


class Reports(Protocol):
    """Where a run learns how it stands."""

    def read_report(
        self, experiment: ExperimentId, wish: QueryKind = QueryKind.SHOW
    ) -> ExperimentReport:
        """Return an experiment as it stands, after stopping, pausing or resuming it if wished."""

    def fetch_model(self, experiment: ExperimentId) -> Path:
        """Return the file of the newest model."""


class Run:
    """One experiment; it goes on whether or not anybody holds this."""

    def __init__(
        self,
        identifier: ExperimentId,
        reports: Reports,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.id = identifier
        self._reports = reports
        self._clock = clock
        self._sleep = sleep
        self._last: ExperimentReport | None = None

    def __repr__(self) -> str:
        return f"Run({self.id!r})" if self._last is None else f"<Run {self}>"

    def __str__(self) -> str:
        if self._last is None:
            return self.id
        last = self._last
        text = f"{self.id}: {last.state}, round {last.round} of {last.spec.num_rounds}"
        return f"{text}; {last.reason}" if last.reason else text

    def report(self) -> ExperimentReport:
        """Return the experiment as it stands, with all closed rounds."""
        self._last = self._reports.read_report(self.id)
        return self._last

    def stop(self) -> ExperimentReport:
        """Stop the experiment; nodes drop what they have of it, closed rounds stay."""
        return self._wish(QueryKind.STOP)

    def pause(self) -> ExperimentReport:
        """Let nothing new begin; what nodes are doing is finished and kept."""
        return self._wish(QueryKind.PAUSE)

    def resume(self) -> ExperimentReport:
        """Let it go on where it was paused."""
        return self._wish(QueryKind.RESUME)

    def follow(
        self, poll_s: float = 1.0, patience_s: float = PATIENCE_S
    ) -> Iterator[ExperimentReport]:
        """Yield the experiment as it stands, then each time that something changed, to its end.

        The wait grows from `poll_s` while nothing changes. A broker or an orchestrator that goes
        away meanwhile is waited for, up to `patience_s`.

        Raises:
            TransportError: nothing was heard for so long, or not even once.
        """
        seen: ExperimentReport | None = None
        changed_at = heard_at = self._clock()
        while True:
            try:
                report = self.report()
                heard_at = self._clock()
            except TransportError as error:
                silence_s = self._clock() - heard_at
                if seen is None or isinstance(error, BrokerRefused) or silence_s >= patience_s:
                    raise
                report = seen
            if report != seen:
                seen, changed_at = report, self._clock()
                yield report
            if report.state in OVER:
                return
            lazy_s = min(_LAZIEST_S, _LAZINESS * (self._clock() - changed_at))
            self._sleep(max(poll_s, lazy_s))

    def wait(self, poll_s: float = 1.0, patience_s: float = PATIENCE_S) -> ExperimentReport:
        """Return the experiment once it is over."""
        *_, last = self.follow(poll_s, patience_s)
        return last

    def download(self, path: Path | str) -> Path:
        """Return `path`, where the newest model stands now as safetensors, whole or not at all.

        A folder gets a file with the experiment's id.

        Raises:
            ConfigurationError: there is no model.
            StorageError: the file cannot be written.
        """
        target = Path(path)
        if target.is_dir():
            target /= f"{self.id}.safetensors"
        source = self._reports.fetch_model(self.id)
        partial = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            partial.replace(target)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StorageError(
                f"the model cannot be written to {target}",
                why=error.strerror or str(error),
                fix="free space there, or choose another place",
            ) from error
        return target

    def parameters(self) -> Parameters:
        """Return the newest model as named arrays, memory-mapped and read-only."""
        return load_parameters(self._reports.fetch_model(self.id))

    def _wish(self, kind: QueryKind) -> ExperimentReport:
        self._last = self._reports.read_report(self.id, kind)
        return self._last

    def _repr_html_(self) -> str:
        report = self.report()
        names = sorted(
            {name for record in report.records for name in record.metrics if not is_count(name)}
        )
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        rows = "".join(_html_row(record, names) for record in report.records)
        told = describe_counts(report.records[-1]) if report.records else ()
        counts = "".join(f"<p>{html.escape(line)}</p>" for line in told)
        return (
            f"<p>{html.escape(str(self))}</p>"
            f"<table><tr><th>round</th><th>nodes</th>{head}</tr>{rows}</table>{counts}"
        )


def ratio(metric: RatioField | None) -> float | None:
    """Return what a metric amounts to; None where it has nothing to speak of."""
    if metric is None or metric.denominator == 0:
        return None
    return metric.numerator / metric.denominator


def num_updated(record: RoundRecord) -> int:
    """Return how many nodes' updates made a round."""
    return sum(outcome.outcome == "updated" for outcome in record.outcomes)


def _html_row(record: RoundRecord, names: list[str]) -> str:
    values = (ratio(record.metrics.get(name)) for name in names)
    cells = "".join(f"<td>{'' if value is None else f'{value:.4f}'}</td>" for value in values)
    nodes = f"{num_updated(record)} of {len(record.outcomes)}"
    return f"<tr><td>{record.round}</td><td>{nodes}</td>{cells}</tr>"
