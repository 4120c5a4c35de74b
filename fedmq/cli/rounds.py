"""Rounds as people and programs read them: one row or one line each, as they close."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Final

from fedmq.cli.console import FAILED, SHORT, say_long, screen_width, show, show_json_line
from fedmq.cli.tables import below
from fedmq.cli.words import size
from fedmq.messages.replies import AWAITS_OPERATOR
from fedmq.messages.submissions import ExperimentReport, NodeStanding, RoundRecord, Stand
from fedmq.researcher.counts import describe_counts, is_count
from fedmq.researcher.run import OVER, Run, num_updated, ratio

_SHORT_NAMES: Final = {"c_index": "C-index"}
_USUAL: Final = re.compile(r"\d+ of \d+(; waiting for [a-z0-9, -]+)?")
"""What an experiment says of itself in the middle of any round."""
_AGE: Final = re.compile(r"\d+ (s|min|h|d) ago")
_COLUMN: Final = 10
_FIXED: Final = 57
"""Characters of a row without its metrics."""


class RoundTable:
    """The rows of one experiment's rounds: equal columns, though they come one by one."""

    def __init__(self, first: RoundRecord, num_rounds: int, *, width: int | None) -> None:
        self._num_rounds = num_rounds
        self._width = width
        names = sorted(name for name in first.metrics if not is_count(name))
        self._names = list(_fitting(names, width))

    def header(self) -> str:
        """Return the titles."""
        names = "".join(f"{_title(name):>{_room(name)}}" for name in self._names)
        return (
            f"{'round':>8}  {'sites':<8}{'train loss':>10}{names}{'up':>10}{'down':>10}"
            f"{'seconds':>9}"
        )

    def lines(self, record: RoundRecord) -> list[str]:
        """Return a round's row; below it what became of the nodes without an update."""
        values = "".join(
            _number(ratio(record.metrics.get(name)), _room(name)) for name in self._names
        )
        sites = f"{num_updated(record)} of {len(record.outcomes)}"
        row = (
            f"{record.round:>3} of {self._num_rounds:<2} {sites:<8}"
            f"{_number(ratio(record.train_metrics.get('loss')))}{values}"
            f"{size(record.bytes_up):>10}{size(record.bytes_down):>10}{record.duration_s:>9.1f}"
        )
        others = [one for one in record.outcomes if one.outcome != "updated"]
        note = ", ".join(f"{one.node}: {one.outcome}" for one in others)
        return [row, *below(note, width=self._width)]


def follow(run: Run) -> ExperimentReport:
    """Return the experiment once it is over; its rounds are printed as they close."""
    table: RoundTable | None = None
    told = ""

    def tell_round(report: ExperimentReport, record: RoundRecord) -> None:
        nonlocal table
        if table is None:
            table = RoundTable(record, report.spec.num_rounds, width=screen_width())
            show(table.header())
        for line in table.lines(record):
            show(line)

    def tell_wait(report: ExperimentReport) -> None:
        nonlocal told
        words = "; ".join([_AGE.sub("", report.reason), *later(report)])
        if words != told:
            say_long(f"waiting: {report.reason}")
            for line in later(report):
                say_long(f"  {line}")
            told = words

    report = _follow(run, tell_round, tell_wait)
    _show_counts(report)
    return report


def follow_as_json(run: Run) -> ExperimentReport:
    """Return the experiment once it is over; a document is printed for each thing that happens."""

    def tell_round(report: ExperimentReport, record: RoundRecord) -> None:
        show_json_line({"kind": "round", "experiment": report.experiment, "record": record})

    def tell_state(report: ExperimentReport) -> None:
        show_json_line(
            {
                "kind": "state",
                "experiment": report.experiment,
                "state": report.state,
                "round": report.round,
                "reason": report.reason,
                "nodes": report.nodes,
            }
        )

    report = _follow(run, tell_round, tell_state)
    tell_state(report)
    return report


def print_report(report: ExperimentReport) -> None:
    """Print an experiment as it stands."""
    spec = report.spec
    show(f"experiment  {report.experiment}")
    show(f"state       {report.state}")
    for line in below(report.reason, width=screen_width()):
        show(line)
    show(f"plan        {spec.plan.name} {spec.plan.digest[:12]} on {spec.dataset}")
    if spec.dictionary is not None:
        asked = spec.dictionary
        show(f"dictionary  {asked.name} {asked.version} {asked.digest[:12]}")
    show(f"nodes       {', '.join(spec.nodes) or 'all that are heard of'}; quorum {spec.quorum}")
    for one in report.nodes:
        show(f"{'':<12}{describe_standing(one)}")
    show(f"round       {report.round} of {spec.num_rounds}")
    if report.records:
        table = RoundTable(report.records[0], spec.num_rounds, width=screen_width())
        show(table.header())
        for record in report.records:
            for line in table.lines(record):
                show(line)
        _show_counts(report)


def describe_standing(one: NodeStanding) -> str:
    """Return how a node stands to an experiment: what it waits for, until when, or why not."""
    words = f"{one.node} {one.stand.replace('_', ' ')}"
    if one.code:
        words += f": {one.code}"
    if one.retry_at is not None:
        words += f", goes on at {time.strftime('%Y-%m-%d %H:%M', time.localtime(one.retry_at))}"
    elif one.code in AWAITS_OPERATOR and one.stand is Stand.WAITS:
        words += ", for its operator"
    return words


def later(report: ExperimentReport) -> list[str]:
    """Return which nodes mean to go on at which hour."""
    return [describe_standing(one) for one in report.nodes if one.retry_at is not None]


def exit_code(report: ExperimentReport) -> int:
    """Return what a command that followed an experiment ends with."""
    if report.state == "finished":
        return 0
    return SHORT if report.state == "finished_short" or report.records else FAILED


def _follow(
    run: Run,
    tell_round: Callable[[ExperimentReport, RoundRecord], None],
    tell_wait: Callable[[ExperimentReport], None],
) -> ExperimentReport:
    """Return the experiment once it is over; tell each round once, and what keeps it from one."""
    told = 0
    report = None
    for report in run.follow():
        # By their numbers: a report of very many rounds has the newest of them only.
        for record in report.records:
            if record.round > told:
                tell_round(report, record)
                told = record.round
        if report.state not in OVER and report.reason and not _USUAL.fullmatch(report.reason):
            tell_wait(report)
    return report if report is not None else run.report()


def _show_counts(report: ExperimentReport) -> None:
    """Show how many cases of the last round lacked what, where the plan counts them."""
    for line in describe_counts(report.records[-1]) if report.records else ():
        for part in below(line, width=screen_width()):
            show(part)


def _fitting(names: list[str], width: int | None) -> Iterator[str]:
    """Yield the metrics for which there is room; `--json` has them all."""
    room = None if width is None else width - _FIXED
    for name in names:
        if room is not None:
            room -= _room(name)
            if room < 0:
                return
        yield name


def _title(name: str) -> str:
    return _SHORT_NAMES.get(name, name)


def _room(name: str) -> int:
    return max(_COLUMN, len(_title(name)) + 2)


def _number(value: float | None, width: int = _COLUMN) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.4f}"
