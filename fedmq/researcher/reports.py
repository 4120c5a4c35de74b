"""Reports: several experiments as they stand, which show themselves as a table."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, overload

from fedmq.messages.submissions import ExperimentReport

_TITLES: Final = ("experiment", "state", "round", "reason")
_GAP: Final = "  "


@dataclass(frozen=True, slots=True, repr=False)
class ExperimentReports(Sequence[ExperimentReport]):
    """Experiments in the order in which they began, without their rounds."""

    reports: tuple[ExperimentReport, ...] = ()
    silent: tuple[str, ...] = ()
    """Orchestrators that did not answer: what they lead is not among them."""

    def __len__(self) -> int:
        return len(self.reports)

    @overload
    def __getitem__(self, index: int) -> ExperimentReport: ...

    @overload
    def __getitem__(self, index: slice) -> "ExperimentReports": ...

    def __getitem__(self, index: int | slice) -> "ExperimentReport | ExperimentReports":
        if isinstance(index, slice):
            return ExperimentReports(self.reports[index], self.silent)
        return self.reports[index]

    def __str__(self) -> str:
        """Return a line of titles and one for each experiment."""
        missing = [self.missing] if self.missing else []
        if not self.reports:
            return "\n".join(["no experiments", *missing])
        lines = [_TITLES, *map(_cells, self.reports)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = [_GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([*rows, *missing])

    @property
    def missing(self) -> str:
        """What is missing, for people; empty where nothing is."""
        names = ", ".join(self.silent)
        return f"without those that {names} may lead: no answer" if names else ""

    # What a shell shows of a value that nobody prints is to be read too.
    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.reports:
            return f"<p>{html.escape(str(self))}</p>"
        head = "".join(f"<th>{title}</th>" for title in _TITLES)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(one)) + "</tr>"
            for one in self.reports
        )
        missing = f"<p>{html.escape(self.missing)}</p>" if self.missing else ""
        return f"<table><tr>{head}</tr>{rows}</table>{missing}"


def _cells(report: ExperimentReport) -> tuple[str, ...]:
    """Return what a table says of an experiment, each on one line."""
    texts = (
        report.experiment,
        report.state,
        f"{report.round} of {report.spec.num_rounds}",
        report.reason,
    )
    return tuple(" ".join(text.split()) for text in texts)
