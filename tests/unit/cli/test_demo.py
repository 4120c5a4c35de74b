"""What a demonstration says at its end: paths as they are typed, and what to type next."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedmq.cli import demo
from fedmq.demo.references import Reference
from fedmq.demo.show import Result
from fedmq.learning.plan import Ratio
from tests.unit.cli.line import CommandLine
from tests.unit.cli.reports import make_record, make_report


def end(home: Path, *, is_running: bool, capsys: pytest.CaptureFixture[str]) -> Sequence[str]:
    """Return the last lines of a demonstration in a home."""
    demo._say_next(home, is_running=is_running)
    return capsys.readouterr().err.splitlines()


def test_the_next_commands_can_be_typed_where_the_demonstration_was_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`./run demo` starts the program of the virtual environment, which no shell finds by name."""
    monkeypatch.setattr(sys, "argv", [str(home / ".venv" / "bin" / "fedmq"), "demo"])
    assert end(home / "demo", is_running=False, capsys=capsys) == [
        "next: .venv/bin/fedmq demo --keep",
        "      then: FEDMQ_HOME=demo .venv/bin/fedmq status",
    ]
    assert end(home / "demo", is_running=True, capsys=capsys) == [
        "left running; everything is under demo",
        "next: FEDMQ_HOME=demo .venv/bin/fedmq status",
        "      FEDMQ_HOME=demo .venv/bin/fedmq run demo/experiment.toml",
        "      FEDMQ_HOME=demo .venv/bin/fedmq down",
    ]


def test_a_program_that_the_shell_finds_is_called_by_its_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is one that was started as a module."""
    program = home / "bin" / "fedmq"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    for started_as in (program, home / "fedmq" / "__main__.py"):
        monkeypatch.setattr(sys, "argv", [str(started_as), "demo"])
        assert end(home / "demo", is_running=False, capsys=capsys)[0] == "next: fedmq demo --keep"


def test_in_another_home_nothing_says_demo(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below the folder it is typed from there, elsewhere in full."""
    monkeypatch.setattr(sys, "argv", ["fedmq", "x"])
    for other, written in ((home / "work", "work"), (home, "."), (Path("/srv/fl"), "/srv/fl")):
        lines = end(other, is_running=True, capsys=capsys)
        lines = [*lines, *end(other, is_running=False, capsys=capsys)]
        assert all("demo/" not in line and "=demo" not in line for line in lines)
        assert f"next: FEDMQ_HOME={written} fedmq demo --keep" in [
            line.replace(f"{sys.argv[0]} demo", "fedmq demo") for line in lines
        ]


def test_the_summary_has_singulars_and_paths_as_typed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One round, one case, one step; nothing in full that is below."""
    references = tuple(
        Reference(
            name=name,
            num_cases=cases,
            num_steps=steps,
            c_index=Ratio(numerator=value, denominator=100.0),
        )
        for name, cases, steps, value in (
            ("pooled", 202, 13, 72.0),
            ("chu-lyon", 90, 12, 60.0),
            ("umc-basel", 1, 1, 71.0),
        )
    )
    demo._summarise(
        Result(
            report=make_report("finished", [make_record(1)], num_rounds=1),
            references=references,
            folder=home / "demo" / "orchestrator" / "experiments" / "lung-1",
            queues_page="http://q/#/queues",
            monitor_file=home / "demo" / "hub" / "credentials" / "monitor.toml",
        )
    )
    assert capsys.readouterr().out.splitlines()[1:] == [
        "C-index on the validation cases of all sites, after 1 round",
        "  federation                       0.7500",
        "  all cases pooled                 0.7200   202 cases, 13 gradient steps",
        "  best site alone (umc-basel)      0.7100   1 case, 1 gradient step",
        "",
        "model    demo/orchestrator/experiments/lung-1/round-0001.safetensors",
        "records  demo/orchestrator/experiments/lung-1/rounds.jsonl",
        "queues   http://q/#/queues",
        "login    user monitor, password in demo/hub/credentials/monitor.toml",
    ]


def test_taking_down_what_was_never_up_is_no_error(fedmq: CommandLine) -> None:
    """Nothing ran, nothing runs."""
    outcome = fedmq("down")
    assert outcome.code == 0
    assert outcome.talk.splitlines() == [
        "ended nothing; the hub is down",
        "next: FEDMQ_HOME=. fedmq demo",
    ]
