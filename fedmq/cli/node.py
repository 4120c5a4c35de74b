"""Commands of who runs the node of a hospital."""

from pathlib import Path
from typing import Annotated

import typer

from fedmq.cli import node_data, node_plans, node_policy
from fedmq.cli.console import Json, next_command, say, show, show_json, show_room, typed
from fedmq.cli.node_home import open_own_records, policy_path, require_node

app = typer.Typer(no_args_is_help=True, help="The program of one hospital.")
app.add_typer(node_data.app, name="data")
app.add_typer(node_plans.app, name="plans")
app.add_typer(node_policy.app, name="policy")


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The node's name, as the hub's operator gave it")],
    *,
    credentials: Annotated[
        Path | None, typer.Option(help="The file that the hub wrote for this node.")
    ] = None,
) -> None:
    """Make this machine the node NAME: its folder, its credentials, its journal."""
    from fedmq.errors import ConfigurationError
    from fedmq.hub.credentials import Role, read_credentials, write_credentials
    from fedmq.node.records import open_records
    from fedmq.settings import read_settings
    from fedmq.transport.home import LocalHome

    settings = read_settings()
    login = read_credentials(credentials or settings.hub / "credentials" / f"{name}.toml")
    if login.user != name or login.role is not Role.NODE:
        raise ConfigurationError(
            f"the credentials are not those of the node {name}",
            why=f"they are of the {login.role} {login.user}",
            fix="ask the hub's operator for: fedmq hub add-node " + name,
        )
    own = settings.node / "credentials.toml"
    if own.exists() and read_credentials(own).user != name:
        raise ConfigurationError(
            "this folder belongs to another node",
            why=f"it is the home of {read_credentials(own).user}",
            fix="choose another folder with FEDMQ_HOME",
        )
    open_records(LocalHome(settings.node)).close()
    write_credentials(own, login)
    say(f"this is the node {name}; its folder is {typed(settings.node)}")
    next_command("fedmq node data add NAME FOLDER", "fedmq node plans list", "fedmq node start")


@app.command()
def start(
    context: typer.Context,
    *,
    json_logs: Annotated[bool, typer.Option(help="Log lines as JSON.")] = False,
) -> None:
    """Take part in experiments until stopped; started again, go on where it was."""
    from fedmq import __version__
    from fedmq.claims import claimed
    from fedmq.cli.serving import make_transport, stop_on_signals
    from fedmq.clocks import SystemClock
    from fedmq.hub.credentials import Role, read_credentials
    from fedmq.logs import configure
    from fedmq.node.capped_log import INCIDENTS_NAME, CappedLog
    from fedmq.node.needs import read_room, read_signs
    from fedmq.node.policy_file import PolicyFile
    from fedmq.node.service import NodeService
    from fedmq.node.worker import Worker
    from fedmq.transport.lives import Lives, Nature
    from fedmq.transport.machine import Machine
    from fedmq.types import NodeId

    machine: Machine = context.obj
    folder = require_node()
    login = read_credentials(folder / "credentials.toml", Role.NODE)
    configure(as_json=json_logs)
    home, clock = machine.home(folder), SystemClock()
    policy = PolicyFile(policy_path())
    connect = make_transport(machine, login, f"fedmq {__version__}")

    def make() -> NodeService:
        return NodeService(
            node=NodeId(login.user),
            home=home,
            make_transport=connect,
            make_worker=lambda sink: Worker(folder / "scratch", sink),
            clock=clock,
            version=__version__,
            keep_incident=CappedLog(folder / INCIDENTS_NAME).write,
            read_policy=policy.read,
        )

    nature = Nature(
        make=make,
        read_room=lambda: read_room(home),
        signs=lambda _room: read_signs(home, __version__),
    )
    with claimed(folder, "a node"):
        lives = Lives(me=login.user, nature=nature, home=home, make_transport=connect, clock=clock)
        stop_on_signals(lives.stop)
        say(f"node {login.user} at {login.url}; Ctrl-C ends it, nothing is lost")
        lives.run()
    say(f"node {login.user} has ended; its tasks wait")
    next_command("fedmq node start", "fedmq node status")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show what this node has waiting, keeps, and turned away."""
    from fedmq.errors import DiskFull
    from fedmq.node.needs import read_room
    from fedmq.transport.home import LocalHome
    from fedmq.transport.inbox import count_rejected

    room = read_room(LocalHome(require_node()))
    try:
        journal = open_own_records().journal
    except DiskFull:
        show_room(room)
        raise
    counts = {
        name: int(journal.cell(f"SELECT count(*) FROM {table}") or 0)  # noqa: S608 - own names
        for name, table in (
            ("datasets", "datasets"),
            ("plans_awaiting", "plans WHERE decision = 'awaiting'"),
            ("tasks_waiting", "tasks"),
            ("tasks_held", "holds WHERE NOT is_over"),
            ("unsent", "outbox"),
            ("payloads_awaited", "waiting"),
        )
    }
    reasons = count_rejected(journal)
    if as_json:
        show_json({**counts, "rejected": reasons, "room": room})
        return
    for name, count in counts.items():
        show(f"{name.replace('_', ' '):<18}{count}")
    show_room(room)
    for reason, count in reasons.items():
        show(f"turned away       {count} x {reason}")
    if counts["plans_awaiting"]:
        next_command("fedmq node plans list")
    else:
        next_command("fedmq node data list", "fedmq node plans list")
