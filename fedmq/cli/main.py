"""The command `fedmq`: one room for each kind of user; each command imports what it needs.

Nothing heavy is imported here, so that help comes at once.
"""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli import demo, gc, hub, node, nodes, orchestrator, researcher, simulate, watch
from fedmq.cli.console import INTERRUPTED, say, tell_error
from fedmq.errors import FedmqError

if TYPE_CHECKING:
    from fedmq.transport.machine import Machine

app = typer.Typer(
    name="fedmq",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Federated learning for hospitals over a message queue.",
)
app.add_typer(hub.app, name="hub", rich_help_panel="Hub operators")
app.add_typer(node.app, name="node", rich_help_panel="Node operators")
app.add_typer(orchestrator.app, name="orchestrator", rich_help_panel="Hub operators")
app.command("join", rich_help_panel="Researchers")(researcher.join)
app.command("renew", rich_help_panel="Researchers")(researcher.renew)
app.command("roster", rich_help_panel="Researchers")(researcher.roster)
app.command("rotate", rich_help_panel="Researchers")(researcher.rotate)
app.command("run", rich_help_panel="Researchers")(researcher.run)
app.add_typer(researcher.app, name="experiments", rich_help_panel="Researchers")
app.command("nodes", rich_help_panel="Researchers")(nodes.nodes)
app.command("simulate", rich_help_panel="Researchers")(simulate.simulate)
app.command("plans", rich_help_panel="Researchers")(researcher.plans)
app.command("status", rich_help_panel="Watching")(watch.status)
app.command("dead", rich_help_panel="Watching")(watch.dead)
app.command("gc", rich_help_panel="Hub operators")(gc.gc)
app.command("demo", rich_help_panel="Trying")(demo.demo)
app.command("down", rich_help_panel="Trying")(demo.down)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from fedmq import __version__

        print(__version__)  # noqa: T201 - the command's answer
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Federated learning for hospitals over a message queue."""


def main(machine: "Machine | None" = None) -> None:
    """Run the command line, on the machine as it is unless told; end with its exit code."""
    from fedmq.transport.machine import LocalMachine

    try:
        app(obj=machine or LocalMachine())
    except FedmqError as error:
        sys.exit(tell_error(error))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(INTERRUPTED)
