"""Commands of who runs the hub: the broker and its members."""

from typing import Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table, typed

app = typer.Typer(no_args_is_help=True, help="The broker and its members.")

Name = Annotated[str, typer.Argument(help="a-z, 0-9 and -, such as chu-lyon")]


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
        )
    else:
        state = lifecycle.up(settings.hub, say)
    say(f"the hub is up at {state.url}")
    say(f"queues: {state.queues_page}")
    say(f"login:  user monitor, password in {_credentials('monitor')}")
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
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    state = lifecycle.status(read_settings().hub)
    if as_json:
        show_json(
            {
                "running": state.is_running,
                "url": state.url,
                "admin_url": state.admin_url,
                "members": {member.name: member.role for member in state.members},
            }
        )
        return
    show(f"hub      {'running' if state.is_running else 'down'}")
    if state.url:
        show(f"broker   {state.url}")
        show(f"queues   {state.queues_page}")
    if state.members:
        show("")
        show_table(("member", "role"), [(one.name, one.role) for one in state.members])
    next_command("fedmq status" if state.is_running else "fedmq hub up")


@app.command("add-node")
def add_node(name: Name) -> None:
    """Add a node: its queues, its login, and the file that its hospital gets."""
    _add(name, "node")
    next_command(f"at the hospital: fedmq node init {name} --credentials FILE")


@app.command("add-researcher")
def add_researcher(name: Name) -> None:
    """Add a researcher: queues, login, and the file that the researcher gets."""
    _add(name, "researcher")
    next_command("fedmq run experiment.toml --credentials FILE")


@app.command()
def remove(name: Name) -> None:
    """Remove a member: it cannot log in any more, and its queues are gone."""
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    Hub(read_settings().hub).remove_member(name)
    say(f"{name} is removed")
    next_command("fedmq hub status")


def _add(name: str, role: str) -> None:
    from fedmq.errors import ConfigurationError
    from fedmq.hub.credentials import Role
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    settings = read_settings()
    hub = Hub(settings.hub)
    if settings.broker_url is not None and hub.roster().external is None:
        # It would become a member at the private broker that nobody wants here.
        raise ConfigurationError(
            f"the hub cannot add {name} yet",
            why="it is not up on the broker that FEDMQ_BROKER_URL names",
            fix="fedmq hub up",
        )
    hub.add_member(name, Role(role))
    say(f"{name} is a {role}; give it this file by a way that keeps it secret:")
    show(_credentials(name))


def _credentials(name: str) -> str:
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    return typed(Hub(read_settings().hub).credentials_path(name))
