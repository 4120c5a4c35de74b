"""A run: one experiment that an orchestrator leads, seen from the researcher's side."""

import html
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from fedmq.messages.fields import RatioField
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.parameters import Parameters, load_parameters
from fedmq.types import ExperimentId

OVER: Final = frozenset({"finished", "failed", "stopped"})


class Reports(Protocol):
    """Where a run learns how it stands."""

    def read_report(self, experiment: ExperimentId, *, stop: bool = False) -> ExperimentReport:
        """Return an experiment as it stands, after stopping it if asked."""

    def fetch_model(self, report: ExperimentReport) -> Path:
        """Return the file of the newest model."""


class Run:
    """One experiment; it goes on whether or not anybody holds this."""

    def __init__(self, identifier: ExperimentId, reports: Reports) -> None:
        self.id = identifier
        self._reports = reports

    def report(self) -> ExperimentReport:
        """Return the experiment as it stands, with all closed rounds."""
        return self._reports.read_report(self.id)

    def stop(self) -> ExperimentReport:
        """Stop the experiment; nodes drop what they have of it."""
        return self._reports.read_report(self.id, stop=True)

    def follow(self, poll_s: float = 1.0) -> Iterator[ExperimentReport]:
        """Yield the experiment as it stands, then each time that something changed, to its end."""
        last: ExperimentReport | None = None
        while True:
            report = self.report()
            if report != last:
                yield report
                last = report
            if report.state in OVER:
                return
            time.sleep(poll_s)

    def wait(self, poll_s: float = 1.0) -> ExperimentReport:
        """Return the experiment once it is over."""
        report = self.report()
        for report in self.follow(poll_s):  # noqa: B007 - the last one counts
            pass
        return report

    def download(self, path: Path | str) -> Path:
        """Return `path`, where the newest model stands now as safetensors."""
        target = Path(path)
        source = self._reports.fetch_model(self.report())
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".part")
        shutil.copyfile(source, partial)
        partial.replace(target)
        return target

    def parameters(self) -> Parameters:
        """Return the newest model as named arrays."""
        return load_parameters(self._reports.fetch_model(self.report()))

    def _repr_html_(self) -> str:
        report = self.report()
        names = sorted({name for record in report.records for name in record.metrics})
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        rows = "".join(_html_row(record, names) for record in report.records)
        title = html.escape(f"{report.experiment}: {report.state} {report.reason}")
        return f"<p>{title}</p><table><tr><th>round</th><th>nodes</th>{head}</tr>{rows}</table>"


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
