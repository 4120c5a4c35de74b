"""Commands of researchers: publish experiments, look at them, stop them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli import joining, rosters, rotating
from fedmq.cli.console import (
    INTERRUPTED,
    Json,
    next_command,
    say,
    say_long,
    show,
    show_json,
    show_table,
    typed,
)

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


def join(
    token: joining.Token,
    *,
    credentials: Credentials = None,
    fingerprint: joining.Fingerprint = "",
    request: joining.RequestFile = None,
    answer: joining.AnswerFile = None,
    wait: joining.Wait = 600.0,
) -> None:
    """Join a federation as a researcher: your keys are made here; the hub's operator admits you."""
    from fedmq.settings import read_settings

    path = credentials or read_settings().home / "credentials.toml"
    has_joined = joining.join(
        "researcher",
        path,
        token,
        fingerprint=fingerprint,
        request_file=request,
        answer_file=answer,
        wait_s=wait,
    )
    if has_joined:
        say(f"you are in the federation; your credentials are {typed(path)}, with keys beside them")
        next_command("fedmq run experiment.toml")


def renew(
    certificate: Annotated[Path, typer.Argument(help="The file that the hub's operator sent")],
    *,
    credentials: Credentials = None,
) -> None:
    """Take a new certificate or password for the broker."""
    from fedmq.settings import read_settings

    joining.renew(credentials or read_settings().home / "credentials.toml", certificate)
    next_command("fedmq experiments list")


def roster(
    *,
    credentials: Credentials = None,
    accept: rosters.Accept = False,
    fingerprint: rosters.Fingerprints = None,
    as_json: Json = False,
) -> None:
    """Show who is in the federation with which keys; take a roster that waits for your word."""
    from fedmq.hub.membership import read_membership
    from fedmq.settings import read_settings
    from fedmq.types import Role

    path = credentials or read_settings().home / "credentials.toml"
    keyring = read_membership(path, Role.RESEARCHER).keyring
    rosters.show_or_accept(
        keyring,
        "fedmq roster",
        "fedmq experiments list",
        accept=accept,
        fingerprints=fingerprint,
        as_json=as_json,
    )


def rotate(
    *,
    credentials: Credentials = None,
    request: rotating.RequestFile = None,
    answer: rotating.AnswerFile = None,
    fresh: rotating.Fresh = False,
) -> None:
    """Ask the hub for new keys that sign and to which others seal; the next command takes them."""
    from fedmq.settings import read_settings

    path = credentials or read_settings().home / "credentials.toml"
    rotating.rotate(path, request_file=request, answer_file=answer, is_fresh=fresh)


def run(
    context: typer.Context,
    experiment: Annotated[Path, typer.Argument(help="An experiment.toml")],
    *,
    credentials: Credentials = None,
    detach: Annotated[bool, typer.Option(help="Return once it is taken.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Where the final model goes; default ID.safetensors")
    ] = None,
    orchestrator: Annotated[
        str, typer.Option(help="Who is to lead it; else who is there and leads the fewest.")
    ] = "",
) -> None:
    """Publish an experiment and follow its rounds; leaving does not stop it."""
    from fedmq.cli.rounds import exit_code
    from fedmq.researcher.experiment import Experiment
    from fedmq.researcher.silence import orchestrator_words

    wanted = Experiment.from_toml(experiment)
    wanted.to_spec()  # says what is wrong before anything is sent
    with open_client(context, credentials) as client:
        taken = client.submit(wanted, orchestrator=orchestrator)
        leader = orchestrator_words(client.leader_of(taken.id))
        say(f"{leader} leads {taken.id}; you may leave, it goes on")
        if detach:
            show(taken.id)
            next_command(f"fedmq experiments follow {taken.id}")
            return
        report = _follow(taken)
        if report.records:
            path = taken.download(output or Path(f"{taken.id}.safetensors"))
            say(f"model of round {report.records[-1].round}: {typed(path)}")
    _say_end(report)
    next_command(f"fedmq experiments show {taken.id}")
    raise typer.Exit(exit_code(report))


def plans(*, as_json: Json = False) -> None:
    """List the plans of the catalogue, with the digests that operators approve."""
    from fedmq.learning.catalogue import CATALOGUE, plan_digest, plan_source

    digests = {name: plan_digest(plan_source(name)) for name in sorted(CATALOGUE)}
    if as_json:
        show_json({"plans": [{"name": name, "digest": one} for name, one in digests.items()]})
        return
    show_table(("plan", "digest"), list(digests.items()))
    next_command("fedmq run experiment.toml")


@app.command("list")
def list_experiments(
    context: typer.Context, *, credentials: Credentials = None, as_json: Json = False
) -> None:
    """List your experiments."""
    with open_client(context, credentials) as client:
        reports = client.experiments()
    if as_json:
        show_json({"experiments": reports, "no_answer_from": reports.silent})
        return
    if reports.missing:
        say(reports.missing)
    if reports:
        show_table(
            ("experiment", "state", "round"),
            [
                (one.experiment, one.state, f"{one.round} of {one.spec.num_rounds}")
                for one in reports
            ],
            [one.reason for one in reports],
        )
    elif not reports.missing:
        say("you have no experiment")
    last = reports[-1].experiment if reports else "ID"
    next_command(f"fedmq experiments show {last}", "fedmq run experiment.toml")


@app.command("show")
def show_experiment(
    context: typer.Context,
    identifier: Identifier,
    *,
    credentials: Credentials = None,
    as_json: Json = False,
) -> None:
    """Show an experiment with its closed rounds."""
    from fedmq.cli.rounds import print_report
    from fedmq.researcher.run import OVER

    with open_client(context, credentials) as client:
        report = client.experiment(identifier).report()
    if as_json:
        show_json(report)
        return
    print_report(report)
    if report.state in OVER:
        next_command(f"fedmq experiments fetch {identifier} model.safetensors")
    else:
        next_command(f"fedmq experiments follow {identifier}")


@app.command("follow")
def follow_experiment(
    context: typer.Context,
    identifier: Identifier,
    *,
    credentials: Credentials = None,
    as_json: Json = False,
) -> None:
    """Show the rounds so far, then each round as it closes; as JSON, a document on each line."""
    from fedmq.cli.rounds import exit_code

    with open_client(context, credentials) as client:
        report = _follow(client.experiment(identifier), as_json=as_json)
    _say_end(report)
    next_command(f"fedmq experiments show {identifier}")
    raise typer.Exit(exit_code(report))


@app.command("stop")
def stop_experiment(
    context: typer.Context, identifier: Identifier, *, credentials: Credentials = None
) -> None:
    """Stop an experiment; its closed rounds stay."""
    with open_client(context, credentials) as client:
        report = client.experiment(identifier).stop()
    _say_end(report)
    next_command(f"fedmq experiments show {identifier}")


@app.command("pause")
def pause_experiment(
    context: typer.Context, identifier: Identifier, *, credentials: Credentials = None
) -> None:
    """Let nothing new begin; what nodes are doing is finished and kept."""
    with open_client(context, credentials) as client:
        report = client.experiment(identifier).pause()
    say(f"{identifier} {report.state}: {report.reason}")
    next_command(f"fedmq experiments resume {identifier}")


@app.command("resume")
def resume_experiment(
    context: typer.Context, identifier: Identifier, *, credentials: Credentials = None
) -> None:
    """Let a paused experiment go on where it was."""
    with open_client(context, credentials) as client:
        report = client.experiment(identifier).resume()
    say(f"{identifier} {report.state}: {report.reason}")
    next_command(f"fedmq experiments follow {identifier}")


@app.command("fetch")
def fetch_model(
    context: typer.Context,
    identifier: Identifier,
    path: Annotated[Path, typer.Argument(help="Where the model goes, as .safetensors")],
    *,
    credentials: Credentials = None,
) -> None:
    """Fetch the newest model of an experiment."""
    with open_client(context, credentials) as client:
        show(typed(client.experiment(identifier).download(path)))
    next_command(f"fedmq experiments show {identifier}")


def _follow(run: "Run", *, as_json: bool = False) -> "ExperimentReport":
    """Return the experiment once it is over; whoever leaves before is told how to come back."""
    from fedmq.cli.rounds import follow, follow_as_json

    try:
        return follow_as_json(run) if as_json else follow(run)
    except KeyboardInterrupt:
        say(f"you left; {run.id} goes on")
        next_command(f"fedmq experiments follow {run.id}", f"fedmq experiments stop {run.id}")
        raise typer.Exit(INTERRUPTED) from None


def _say_end(report: "ExperimentReport") -> None:
    reason = f": {report.reason}" if report.reason else ""
    say_long(f"{report.experiment} {report.state}{reason}")


def open_client(context: typer.Context, credentials: Path | None) -> "Client":
    """Return a researcher's client, having said what is to be known of its keys."""
    from fedmq.cli.expiry import say_when_it_ends
    from fedmq.hub.membership import read_membership
    from fedmq.researcher.client import Client
    from fedmq.settings import read_settings

    path = credentials or read_settings().home / "credentials.toml"
    if path.exists():  # if not, the client says what is to be done
        membership = read_membership(path)
        say_when_it_ends(membership)
        rosters.say_if_held(membership.keyring, "fedmq roster")
    return Client.from_credentials(path, machine=context.obj)
