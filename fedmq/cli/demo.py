"""Commands for who tries fedmq: a federation on one machine, and its end."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import INTERRUPTED, next_command, say, say_long, show, typed
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.demo.show import Demo, Result

FOLDER = Path("demo")


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the experiment.")] = 10,
) -> None:
    """Show a federation of four invented hospitals on this machine, and one experiment."""
    from fedmq.cli.rounds import exit_code, follow

    say("fedmq demo: invented patients; relaxed: members admitted and plan approved without you")
    federation = _federation()
    try:
        federation.start()
        with federation.client() as client:
            run = federation.submit(client, rounds)
            asked = count(rounds, "round")
            say(f"experiment {run.id}: petct-survival, {asked}, at least 3 of 4 sites")
            report = follow(run)
        if report.state in {"finished", "finished_short"}:
            say("training the same plan without a federation, for comparison")
            _summarise(federation.finish(report))
        else:
            say_long(f"{report.experiment} {report.state}: {report.reason}")
        code = exit_code(report)
    except KeyboardInterrupt:
        say("you left; " + ("what was started runs on" if keep else "ending what was started"))
        code = INTERRUPTED
    finally:
        if not keep:
            federation.stop()
    _say_next(federation.home, is_running=keep)
    raise typer.Exit(code)


def down() -> None:
    """End everything that a demonstration left running; its files stay."""
    federation = _federation()
    federation.stop()
    next_command(_again(federation.home))


def _federation() -> "Demo":
    import os

    from fedmq.demo.show import Demo
    from fedmq.settings import read_settings

    os.environ.setdefault("FEDMQ_HOME", str(FOLDER.absolute()))
    return Demo(read_settings(), say)


def _say_next(home: Path, *, is_running: bool) -> None:
    fedmq = f"FEDMQ_HOME={typed(home)} {_program()}"
    if is_running:
        say(f"left running; everything is under {typed(home)}")
        next_command(
            f"{fedmq} status",
            f"{fedmq} run {typed(home / 'experiment.toml')}",
            f"{fedmq} down",
        )
    else:
        next_command(f"{_again(home)} --keep", f"then: {fedmq} status")


def _again(home: Path) -> str:
    """Return the command of a demonstration in this home."""
    setting = "" if home == FOLDER.absolute() else f"FEDMQ_HOME={typed(home)} "
    return f"{setting}{_program()} demo"


def _program() -> str:
    """Return what has to be typed to start this program again."""
    path, installed = Path(sys.argv[0]), shutil.which("fedmq")
    is_known = installed is not None and Path(installed) == path.absolute()
    # Under another name it was started as a module.
    return "fedmq" if is_known or path.name != "fedmq" else typed(path.absolute())


def _summarise(result: "Result") -> None:
    from fedmq.researcher.run import ratio

    last = result.report.records[-1]
    asked = count(last.round, "round")
    show("")
    show(f"C-index on the validation cases of all sites, after {asked}")
    show(f"  {'federation':<33}{_number(ratio(last.metrics.get('c_index')))}")
    pooled, *sites = result.references
    best = max(sites, key=lambda one: one.c_index.numerator / one.c_index.denominator)
    for name, one in (("all cases pooled", pooled), (f"best site alone ({best.name})", best)):
        value = one.c_index.numerator / one.c_index.denominator
        cases, steps = count(one.num_cases, "case"), count(one.num_steps, "gradient step")
        show(f"  {name:<33}{value:.4f}   {cases}, {steps}")
    show("")
    show(f"model    {typed(result.folder / f'round-{last.round:04d}.safetensors')}")
    show(f"records  {typed(result.folder / 'rounds.jsonl')}")
    show(f"queues   {result.queues_page}")
    show(f"login    user monitor, password in {typed(result.monitor_file)}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
