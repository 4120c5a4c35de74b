"""Commands of researchers: publish experiments, look at them, stop them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import INTERRUPTED, next_command, say, show, show_json

if TYPE_CHECKING:
    from fedmq.messages.submissions import ExperimentReport
    from fedmq.researcher.client import Client
    from fedmq.researcher.run import Run

app = typer.Typer(no_args_is_help=True, help="Experiments that run or have run.")

Credentials = Annotated[
    Path | None,
    typer.Option(
        envvar="FEDMQ_CREDENTIALS",
        help="The file that the hub wrote for you; default credentials.toml in FEDMQ_HOME.",
    ),
]
Identifier = Annotated[str, typer.Argument(help="As `fedmq experiments list` shows it")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def run(
    experiment: Annotated[Path, typer.Argument(help="An experiment.toml")],
    *,
    credentials: Credentials = None,
    detach: Annotated[bool, typer.Option(help="Return once it is taken.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Where the final model goes; default ID.safetensors")
    ] = None,
) -> None:
    """Publish an experiment and follow its rounds; leaving does not stop it."""
    from fedmq.cli.rounds import exit_code
    from fedmq.researcher.experiment import Experiment

    wanted = Experiment.from_toml(experiment)
    wanted.to_spec()  # says what is wrong before anything is sent
    with _client(credentials) as client:
        taken = client.submit(wanted)
        say(f"the orchestrator leads {taken.id}; you may leave, it goes on")
        if detach:
            show(taken.id)
            next_command(f"fedmq experiments follow {taken.id}")
            return
        report = _follow(taken)
        if report.records:
            path = taken.download(output or Path(f"{taken.id}.safetensors"))
            say(f"model of round {report.records[-1].round}: {path}")
    say(f"{taken.id} {report.state}" + (f": {report.reason}" if report.reason else ""))
    next_command(f"fedmq experiments show {taken.id}")
    raise typer.Exit(exit_code(report))


def plans() -> None:
    """List the plans of the catalogue, with the digests that operators approve."""
    from fedmq.learning.catalogue import CATALOGUE, plan_digest, plan_source

    for name in sorted(CATALOGUE):
        show(f"{name:<22}{plan_digest(plan_source(name))}")


@app.command("list")
def list_experiments(*, credentials: Credentials = None, as_json: Json = False) -> None:
    """List your experiments."""
    with _client(credentials) as client:
        reports = client.experiments()
    if as_json:
        show_json([report.model_dump(mode="json") for report in reports])
        return
    for report in reports:
        where = f"round {report.round} of {report.spec.num_rounds}"
        line = f"{report.experiment:<40}{report.state:<12}{where:<18}{report.reason}"
        show(line.rstrip())
    if not reports:
        say("you have no experiment")
    next_command("fedmq experiments show ID", "fedmq run experiment.toml")


@app.command("show")
def show_experiment(
    identifier: Identifier, *, credentials: Credentials = None, as_json: Json = False
) -> None:
    """Show an experiment with its closed rounds."""
    from fedmq.cli.rounds import print_report

    with _client(credentials) as client:
        report = client.experiment(identifier).report()
    if as_json:
        show_json(report.model_dump(mode="json"))
        return
    print_report(report)
    next_command(f"fedmq experiments follow {identifier}")


@app.command("follow")
def follow_experiment(identifier: Identifier, *, credentials: Credentials = None) -> None:
    """Show the rounds so far, then each round as it closes."""
    from fedmq.cli.rounds import exit_code

    with _client(credentials) as client:
        report = _follow(client.experiment(identifier))
    say(f"{identifier} {report.state}" + (f": {report.reason}" if report.reason else ""))
    next_command(f"fedmq experiments show {identifier}")
    raise typer.Exit(exit_code(report))


@app.command("stop")
def stop_experiment(identifier: Identifier, *, credentials: Credentials = None) -> None:
    """Stop an experiment; its closed rounds stay."""
    with _client(credentials) as client:
        report = client.experiment(identifier).stop()
    say(f"{identifier} {report.state}: {report.reason}")
    next_command(f"fedmq experiments show {identifier}")


@app.command("pause")
def pause_experiment(identifier: Identifier, *, credentials: Credentials = None) -> None:
    """Let nothing new begin; what nodes are doing is finished and kept."""
    with _client(credentials) as client:
        report = client.experiment(identifier).pause()
    say(f"{identifier} {report.state}: {report.reason}")
    next_command(f"fedmq experiments resume {identifier}")


@app.command("resume")
def resume_experiment(identifier: Identifier, *, credentials: Credentials = None) -> None:
    """Let a paused experiment go on where it was."""
    with _client(credentials) as client:
        report = client.experiment(identifier).resume()
    say(f"{identifier} {report.state}: {report.reason}")
    next_command(f"fedmq experiments follow {identifier}")


@app.command("fetch")
def fetch_model(
    identifier: Identifier,
    path: Annotated[Path, typer.Argument(help="Where the model goes, as .safetensors")],
    *,
    credentials: Credentials = None,
) -> None:
    """Fetch the newest model of an experiment."""
    with _client(credentials) as client:
        show(str(client.experiment(identifier).download(path)))


def _follow(run: "Run") -> "ExperimentReport":
    """Return the experiment once it is over; whoever leaves before is told how to come back."""
    from fedmq.cli.rounds import follow

    try:
        return follow(run)
    except KeyboardInterrupt:
        say(f"you left; {run.id} goes on")
        next_command(f"fedmq experiments follow {run.id}", f"fedmq experiments stop {run.id}")
        raise typer.Exit(INTERRUPTED) from None


def _client(credentials: Path | None) -> "Client":
    from fedmq.researcher.client import Client
    from fedmq.settings import read_settings

    return Client.from_credentials(credentials or read_settings().home / "credentials.toml")
