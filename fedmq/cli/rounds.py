"""Rounds as people read them: one row each, then a summary."""

import typer

from fedmq.cli.console import INTERRUPTED, SHORT, next_command, say, show
from fedmq.messages.submissions import ExperimentReport, RoundRecord
from fedmq.researcher.run import Run, num_updated, ratio

_MAIN = "c_index"
_SHORT_NAMES = {"c_index": "C-index"}


def follow(run: Run) -> ExperimentReport:
    """Return the experiment once it is over; its rounds are printed as they close."""
    try:
        return _follow(run)
    except KeyboardInterrupt:
        say(f"you left; {run.id} goes on")
        next_command(f"fedmq experiments follow {run.id}")
        raise typer.Exit(INTERRUPTED) from None


def _follow(run: Run) -> ExperimentReport:
    shown, reason = 0, ""
    report = None
    for report in run.follow():
        if shown == 0 and report.records:
            show(_header(report.records[0]))
        for record in report.records[shown:]:
            show(_row(record, report.spec.num_rounds))
        shown = len(report.records)
        if report.reason and report.reason != reason and report.state == "preparing":
            say(f"waiting: {report.reason}")
            reason = report.reason
    return report if report is not None else run.report()


def print_report(report: ExperimentReport) -> None:
    """Print an experiment as it stands."""
    spec = report.spec
    show(f"experiment  {report.experiment}")
    show(f"state       {report.state} {report.reason}".rstrip())
    show(f"plan        {spec.plan.name} {spec.plan.digest[:12]} on {spec.dataset}")
    show(f"nodes       {', '.join(spec.nodes) or 'all that are heard of'}; quorum {spec.quorum}")
    show(f"round       {report.round} of {spec.num_rounds}")
    if report.records:
        show(_header(report.records[0]))
    for record in report.records:
        show(_row(record, spec.num_rounds))


def exit_code(report: ExperimentReport) -> int:
    """Return what a command that followed an experiment ends with."""
    if report.state == "finished":
        return 0
    return SHORT if report.state == "finished_short" or report.records else 1


def _header(record: RoundRecord) -> str:
    names = "".join(f"{_title(name):>{_width(name)}}" for name in sorted(record.metrics))
    return (
        f"{'round':>8}  {'sites':<8}{'train loss':>10}{names}{'up':>10}{'down':>10}{'seconds':>9}"
    )


def _row(record: RoundRecord, num_rounds: int) -> str:
    values = "".join(
        _number(ratio(record.metrics[name]), _width(name)) for name in sorted(record.metrics)
    )
    sites = f"{num_updated(record)} of {len(record.outcomes)}"
    row = (
        f"{record.round:>3} of {num_rounds:<2} {sites:<8}"
        f"{_number(ratio(record.train_metrics.get('loss')))}{values}"
        f"{_size(record.bytes_up):>10}{_size(record.bytes_down):>10}{record.duration_s:>9.1f}"
    )
    others = [f"{one.node}: {one.outcome}" for one in record.outcomes if one.outcome != "updated"]
    return row + ("  " + ", ".join(others) if others else "")


def _title(name: str) -> str:
    return _SHORT_NAMES.get(name, name)


def _width(name: str) -> int:
    return max(10, len(_title(name)) + 2)


def _number(value: float | None, width: int = 10) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.4f}"


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004 - SI prefixes
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} GB"
