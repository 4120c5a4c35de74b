"""Rounds as rows for people and as lines for programs."""

import json
import time
from pathlib import Path

import pytest

from fedmq.cli.console import FAILED, SHORT
from fedmq.cli.rounds import RoundTable, exit_code, follow, follow_as_json, print_report
from fedmq.messages.submissions import ExperimentReport, NodeStanding, Stand
from tests.unit.cli.reports import LUNG, Told, make_record, make_report

FIRST, SECOND = make_record(1), make_record(2, missed=("chu-lyon", "umc-basel"))
COURSE = [
    make_report("preparing", reason="1 of at least 3 nodes take part"),
    make_report("preparing", reason="2 of at least 3 nodes take part"),
    make_report("training", reason="2 of 4; waiting for chu-lyon"),
    make_report("training", [FIRST]),
    make_report("finished", [FIRST, SECOND]),
]


def test_a_row_says_sites_losses_metrics_bytes_and_seconds() -> None:
    """Under their titles; what became of the other nodes stands below."""
    table = RoundTable(FIRST, 10, width=None)
    assert table.header() == (
        "   round  sites   train loss   C-index      loss        up      down  seconds"
    )
    assert table.lines(FIRST) == [
        "  1 of 10 4 of 4      1.4398    0.7500    0.7500  182.3 kB   45.6 kB      3.1"
    ]
    assert table.lines(SECOND) == [
        "  2 of 10 2 of 4      1.4398    0.7500    0.7500  182.3 kB   45.6 kB      3.1",
        "    chu-lyon: missed, umc-basel: missed",
    ]


def test_on_a_screen_there_are_as_many_metrics_as_fit() -> None:
    """In a pipe all of them; a metric that a later round lacks is a dash."""
    names = ("brier", "c_index", "loss", "positive_predictive_value", "specificity")
    record = make_record(1, metrics=names)
    table = RoundTable(record, 10, width=100)
    lines = [table.header(), *table.lines(make_record(2, missed=["chu-lyon"], metrics=["brier"]))]
    assert max(map(len, lines)) <= 100
    assert "loss" in lines[0].split("train loss")[1]
    assert "positive" not in lines[0]
    assert lines[1].split()[7:9] == ["0.7500", "-"]
    assert all(
        name.replace("c_index", "C-index") in RoundTable(record, 10, width=None).header()
        for name in names
    )


def test_counts_of_cases_are_words_below_the_table_and_no_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the last round, once, for who follows as for who asks later."""
    record = make_record(1, metrics=("c_index", "with_ct", "left_out_no_outcome"))
    report = make_report("finished", [record], num_rounds=1)
    told = "    validation cases: CT 3 of 4; left out: no outcome 3 of 4"
    follow(Told(tmp_path, [report]).experiment(LUNG))
    followed = capsys.readouterr().out.splitlines()
    assert followed[-1] == told
    assert sum("with" in line or "left" in line for line in followed) == 1
    print_report(report)
    assert capsys.readouterr().out.splitlines()[-3:] == followed


def test_each_round_is_told_once_and_each_wait_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows are data; what is waited for is talk."""
    report = follow(Told(tmp_path, COURSE).experiment(LUNG))
    assert report == COURSE[-1]
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["round", "1", "2", "chu-lyon:"]
    assert said.err.splitlines() == [
        "waiting: 1 of at least 3 nodes take part",
        "waiting: 2 of at least 3 nodes take part",
    ]


def test_rounds_are_told_where_reports_hold_only_the_newest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of an experiment of very many rounds do."""
    third = FIRST.model_copy(update={"round": 3})
    shown = ([FIRST], [FIRST, SECOND], [SECOND, third])
    course = [make_report("training", records) for records in shown]
    follow(Told(tmp_path, [*course, make_report("finished", [third])]).experiment(LUNG))
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["round", "1", "2", "chu-lyon:", "3"]


def test_what_holds_a_round_up_is_told_once_however_old_it_gets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is away, what follows a failed attempt, a pause; a round that goes on is no news."""
    reasons = [
        "3 of 4; waiting for chu-lyon",
        "3 of 4; waiting for chu-lyon; chu-lyon last heard 1 min ago",
        "3 of 4; waiting for chu-lyon; chu-lyon last heard 59 min ago",
        "3 of 4; waiting for chu-lyon; chu-lyon last heard 3 h ago",
        "paused by the researcher",
    ]
    course = [make_report("training", reason=reason) for reason in reasons]
    follow(Told(tmp_path, [*course, make_report("stopped", reason="stopped")]).experiment(LUNG))
    assert capsys.readouterr().err.splitlines() == [
        f"waiting: {reasons[1]}",
        f"waiting: {reasons[4]}",
    ]


def test_programs_get_a_line_for_each_thing_that_happens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last one says how it ended."""
    assert follow_as_json(Told(tmp_path, COURSE).experiment(LUNG)) == COURSE[-1]
    said = capsys.readouterr()
    assert said.err == ""
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["kind"] for line in lines] == ["state", "state", "round", "round", "state"]
    assert all((one["schema_version"], one["experiment"]) == (1, LUNG) for one in lines)
    assert lines[2]["record"] == FIRST.model_dump(mode="json")
    assert lines[-1] == {
        "schema_version": 1,
        "kind": "state",
        "experiment": LUNG,
        "state": "finished",
        "round": 2,
        "reason": "",
        "nodes": [],
    }


def test_a_report_shows_the_reason_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However long it is."""
    reason = "round 1, training: 1 of 4; 3 are needed; " + "; ".join(["no answer"] * 20)
    print_report(make_report("failed", reason=reason))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [f"experiment  {LUNG}", "state       failed", "    " + reason]


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (make_report("finished", [FIRST]), 0),
        (make_report("failed", [FIRST]), SHORT),
        (make_report("stopped", [FIRST]), SHORT),
        (make_report("failed"), FAILED),
    ],
)
def test_the_exit_code_says_how_it_ended(report: object, code: int) -> None:
    """0 finished, 3 short: some rounds closed, 1 none did."""
    assert exit_code(report) == code  # type: ignore[arg-type]


def test_who_waits_is_said_with_the_hour(capsys: pytest.CaptureFixture[str]) -> None:
    """By the clock of who reads; who waits for a person says so."""
    nodes = [
        NodeStanding(node="a", stand=Stand.TAKES_PART),
        NodeStanding(node="b", stand=Stand.WAITS, code="out_of_hours", retry_at=1_800_000_000.0),
        NodeStanding(node="c", stand=Stand.WAITS, code="dataset_not_approved"),
        NodeStanding(node="d", stand=Stand.WAITS, code="node_paused"),
        NodeStanding(node="e", stand=Stand.REFUSED, code="plan_rejected"),
    ]
    report = make_report("training", reason="0 of 4").model_copy(update={"nodes": nodes})
    print_report(report)
    hour = time.strftime("%Y-%m-%d %H:%M", time.localtime(1_800_000_000.0))
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if line[:2] == "  "]
    assert told[1:] == [
        "a takes part",
        f"b waits: out_of_hours, goes on at {hour}",
        "c waits: dataset_not_approved, for its operator",
        "d waits: node_paused",
        "e refused: plan_rejected",
    ]


def test_who_follows_is_told_the_hour_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And again when it is another one."""

    def at(retry_at: float) -> ExperimentReport:
        one = NodeStanding(node="b", stand=Stand.WAITS, code="out_of_hours", retry_at=retry_at)
        reason = "1 of 2; waiting for b; b waits: out_of_hours"
        return make_report("training", reason=reason).model_copy(update={"nodes": [one]})

    follow(Told(tmp_path, [at(1e9), at(1e9), at(2e9), *COURSE]).experiment(LUNG))
    said = capsys.readouterr().err
    assert said.count("waiting: 1 of 2; waiting for b; b waits: out_of_hours\n") == 2
    assert said.count("  b waits: out_of_hours, goes on at ") == 2
