"""Commands for who tries fedmq: a federation on one machine, and its end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import next_command, say, show

if TYPE_CHECKING:
    from fedmq.demo.show import Demo, Result

FOLDER = Path("demo")


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the experiment.")] = 10,
) -> None:
    """Show a federation of four invented hospitals: hub, orchestrator, nodes, one experiment."""
    from fedmq.cli.rounds import exit_code, follow

    say("fedmq demo: invented patients, relaxed settings (no TLS, plan approved for you)")
    federation = _federation()
    try:
        federation.start()
        with federation.client() as client:
            run = federation.submit(client, rounds)
            say(f"experiment {run.id}: petct-survival, {rounds} rounds, at least 3 of 4 sites")
            report = follow(run)
        if report.state == "finished":
            say("training the same plan without a federation, for comparison")
            _summarise(federation.finish(report))
        else:
            say(f"{report.experiment} {report.state}: {report.reason}")
    finally:
        if not keep:
            federation.stop()
    if keep:
        home = _home_as_typed(federation.home)
        say(f"left running; everything is under {home}")
        next_command(
            f"FEDMQ_HOME={home} fedmq status",
            f"FEDMQ_HOME={home} fedmq run {home}/experiment.toml",
            f"FEDMQ_HOME={home} fedmq down",
        )
    else:
        next_command("./run demo --keep", "then: FEDMQ_HOME=demo .venv/bin/fedmq status")
    raise typer.Exit(exit_code(report))


def down() -> None:
    """End everything that a demonstration left running; its files stay."""
    _federation().stop()
    next_command("fedmq demo")


def _home_as_typed(home: Path) -> str:
    """Return the home as people write it where they are now."""
    here = Path.cwd()
    return str(home.relative_to(here) if home.is_relative_to(here) else home)


def _federation() -> "Demo":
    import os

    from fedmq.demo.show import Demo
    from fedmq.settings import read_settings

    os.environ.setdefault("FEDMQ_HOME", str(FOLDER.resolve()))
    return Demo(read_settings(), say)


def _summarise(result: "Result") -> None:
    from fedmq.researcher.run import ratio

    last = result.report.records[-1]
    show("")
    show(f"C-index on the validation cases of all sites, after {last.round} rounds")
    show(f"  {'federation':<33}{_number(ratio(last.metrics.get('c_index')))}")
    pooled, *sites = result.references
    best = max(sites, key=lambda one: one.c_index.numerator / one.c_index.denominator)
    for name, one in (("all cases pooled", pooled), (f"best site alone ({best.name})", best)):
        value = one.c_index.numerator / one.c_index.denominator
        show(f"  {name:<33}{value:.4f}   {one.num_cases} cases, {one.num_steps} gradient steps")
    show("")
    show(f"model    {result.folder / f'round-{last.round:04d}.safetensors'}")
    show(f"records  {result.folder / 'rounds.jsonl'}")
    show(f"queues   {result.queues_page}  (user monitor, password in {result.monitor_file})")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
