"""Commands of who runs the hub: the broker.

`hub_members` has those of its members, `hub_orchestrators` adds orchestrators.
"""

import time
from typing import Annotated

import typer

from fedmq.cli import hub_members, hub_orchestrators
from fedmq.cli.console import Json, next_command, say, show, show_json, show_table

app = typer.Typer(no_args_is_help=True, help="The broker and its members.")


@app.command()
def init(
    federation: Annotated[str, typer.Argument(help="The federation's name: a-z, 0-9 and -")],
    *,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address at which members reach the broker; may be repeated."),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Address of this machine to listen at; 0.0.0.0 and :: are all.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="443 passes most hospitals' firewalls.")
    ] = None,
    tls_1_2: Annotated[
        bool, typer.Option("--tls-1.2", help="Take members that speak TLS 1.2 and nothing newer.")
    ] = False,
) -> None:
    """Make a hub: its authority, the roster's keys, and a broker that knows certificates."""
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    state = lifecycle.make(
        read_settings().hub,
        federation=federation,
        hosts=host or [listen],
        address=listen,
        port=port,
        allows_tls_1_2=tls_1_2,
    )
    say(f"the federation {federation} has a hub; members will reach it at {state.url}")
    say("its fingerprint, which you read out to those who join:")
    hub_members.fingerprint()
    next_command("fedmq hub up", "fedmq hub add-node NAME")


@app.command()
def up() -> None:
    """Start the hub: a private broker, or the one that FEDMQ_BROKER_URL names."""
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    settings = read_settings()
    if settings.broker_url is not None and settings.broker_admin_url is not None:
        state = lifecycle.external(
            settings.hub,
            amqp_url=settings.broker_url,
            admin_url=settings.broker_admin_url.get_secret_value(),
            authority=settings.read_broker_authority(),
        )
    else:
        state = lifecycle.up(settings.hub, say)
    hub_members.tidy()
    say(f"the hub is up at {state.url}")
    say(f"queues: {state.queues_page}")
    say(f"login:  user monitor, password in {hub_members.credentials_of('monitor')}")
    next_command("fedmq hub add-node NAME", "fedmq orchestrator start")


@app.command()
def down() -> None:
    """Stop the hub's broker; members, queues and messages stay."""
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    lifecycle.down(read_settings().hub)
    say("the hub is down")
    next_command("fedmq hub up")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show whether the hub runs, where, and who its members are."""
    from fedmq.cli.expiry import find_broker_ending, say_ending
    from fedmq.cli.rosters import find_hub_mark
    from fedmq.hub import lifecycle
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    folder = read_settings().hub
    state, mark = lifecycle.status(folder), find_hub_mark(Hub(folder))
    if as_json:
        show_json(
            {
                "running": state.is_running,
                "url": state.url,
                "admin_url": state.admin_url,
                "members": {member.name: member.role for member in state.members},
                "roster": mark,
                "broker_certified_until": state.certified_until,
            }
        )
        return
    show(f"hub      {'running' if state.is_running else 'down'}")
    if state.url:
        show(f"broker   {state.url}")
        show(f"queues   {state.queues_page}")
    if mark is not None:
        show(f"roster   {mark}")
    if state.certified_until is not None:
        show(f"tls      certificate {_until(state.certified_until)}; fedmq hub up renews it")
    if state.members:
        show("")
        show_table(
            ("member", "role", "certificate"),
            [(one.name, one.role, _until(one.certified_until)) for one in state.members],
        )
    if state.certified_until is not None:
        say_ending(find_broker_ending(state.certified_until, now=time.time()))
    next_command("fedmq status" if state.is_running else "fedmq hub up")


def _until(at: float) -> str:
    """Return what a table says of the end of a certificate."""
    from fedmq.cli.expiry import is_near

    if not at:
        return "-"
    day = time.strftime("%Y-%m-%d", time.localtime(at))
    return f"until {day}" + (", renew it" if is_near(at, now=time.time()) else "")


app.command("add-node")(hub_members.add_node)
app.command("add-researcher")(hub_members.add_researcher)
app.command("add-orchestrator")(hub_orchestrators.add_orchestrator)
app.command("joins")(hub_members.joins)
app.command("admit")(hub_members.admit)
app.command("revoke")(hub_members.revoke)
app.command("renew")(hub_members.renew)
app.command("fingerprint")(hub_members.fingerprint)
