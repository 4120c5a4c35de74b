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

    def __len__(self) -> int:
        return len(self.reports)

    @overload
    def __getitem__(self, index: int) -> ExperimentReport: ...

    @overload
    def __getitem__(self, index: slice) -> "ExperimentReports": ...

    def __getitem__(self, index: int | slice) -> "ExperimentReport | ExperimentReports":
        if isinstance(index, slice):
            return ExperimentReports(self.reports[index])
        return self.reports[index]

    def __str__(self) -> str:
        """Return a line of titles and one for each experiment."""
        if not self.reports:
            return "no experiments"
        lines = [_TITLES, *map(_cells, self.reports)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(_GAP.join(map(str.ljust, line, widths)).rstrip() for line in lines)

    # What a shell shows of a value that nobody prints is to be read too.
    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.reports:
            return f"<p>{self}</p>"
        head = "".join(f"<th>{title}</th>" for title in _TITLES)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(one)) + "</tr>"
            for one in self.reports
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


def _cells(report: ExperimentReport) -> tuple[str, ...]:
    """Return what a table says of an experiment, each on one line."""
    texts = (
        report.experiment,
        report.state,
        f"{report.round} of {report.spec.num_rounds}",
        report.reason,
    )
    return tuple(" ".join(text.split()) for text in texts)
