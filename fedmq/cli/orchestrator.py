"""Commands of who runs the orchestrator."""

from pathlib import Path
from typing import Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.words import size

app = typer.Typer(no_args_is_help=True, help="The program that leads experiments.")


@app.command()
def start(
    *,
    credentials: Annotated[
        Path | None, typer.Option(help="The file that the hub wrote for the orchestrator.")
    ] = None,
    json_logs: Annotated[bool, typer.Option(help="Log lines as JSON.")] = False,
) -> None:
    """Lead experiments until stopped; started again, go on where it was."""
    from fedmq import __version__
    from fedmq.claims import claimed
    from fedmq.cli.serving import make_transport, stop_on_signals
    from fedmq.clocks import SystemClock
    from fedmq.hub.credentials import Role, read_credentials
    from fedmq.logs import configure
    from fedmq.orchestrator.service import OrchestratorService
    from fedmq.settings import read_settings
    from fedmq.transport.home import LocalHome

    settings = read_settings()
    path = credentials or settings.hub / "credentials" / "orchestrator.toml"
    login = read_credentials(path, Role.ORCHESTRATOR)
    configure(as_json=json_logs)
    with claimed(settings.orchestrator, "an orchestrator"):
        service = OrchestratorService(
            name=login.user,
            home=LocalHome(settings.orchestrator),
            make_transport=make_transport(login, f"fedmq {__version__}"),
            clock=SystemClock(),
            version=__version__,
        )
        stop_on_signals(service.loop.stop)
        say(f"orchestrator {login.user} at {login.url}; Ctrl-C ends it, nothing is lost")
        service.run()
    say(f"orchestrator {login.user} has ended; its experiments wait")
    next_command("fedmq orchestrator start", "fedmq orchestrator status")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show what this orchestrator leads, has waiting, keeps, and turned away."""
    from fedmq.errors import ConfigurationError
    from fedmq.orchestrator.status import read_status
    from fedmq.settings import read_settings
    from fedmq.transport.home import JOURNAL_NAME, LocalHome

    home = read_settings().orchestrator
    if not (home / JOURNAL_NAME).exists():
        raise ConfigurationError(
            "no orchestrator has run here yet",
            why=f"{home} holds no journal",
            fix="fedmq orchestrator start, or ask where it runs: that is another FEDMQ_HOME",
        )
    found = read_status(LocalHome(home))
    if as_json:
        show_json(found)
        return
    show(f"leads             {found.num_led}")
    show(f"unsent            {found.unsent}")
    show(f"payloads awaited  {found.payloads_awaited}")
    show(f"disk used         {size(found.size_bytes)}")
    for reason, count in found.rejected.items():
        show(f"turned away       {count} x {reason}")
    if found.experiments:
        show("")
        show_table(
            ("experiment", "researcher", "state", "round", "disk"),
            [
                (
                    one.experiment,
                    one.researcher,
                    one.state,
                    f"{one.round} of {one.num_rounds}",
                    size(one.size_bytes),
                )
                for one in found.experiments
            ],
            [one.reason for one in found.experiments],
        )
    next_command("fedmq dead" if found.rejected else "fedmq status")
