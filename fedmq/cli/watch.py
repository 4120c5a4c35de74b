"""Commands of who watches the federation."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.words import ago, size

if TYPE_CHECKING:
    from fedmq.hub.management import Management
    from fedmq.monitor.status import NodeStatus

NODE_TITLES: Final = (
    "node",
    "online",
    "last heard",
    "waiting",
    "in hand",
    "redelivered",
    "dead",
    "doing",
)

Credentials = Annotated[
    Path | None, typer.Option(help="The file that the hub wrote for the user monitor.")
]


def status(*, credentials: Credentials = None, as_json: Json = False) -> None:
    """Show one row per node and one per running experiment."""
    import time

    from fedmq.monitor.status import read_status

    found = read_status(*_management(credentials))
    if as_json:
        show_json(
            {
                "nodes": found.nodes,
                "experiments": found.experiments,
                "dead": found.num_dead,
                "orchestrators": found.orchestrators,
            }
        )
        return
    show_table(NODE_TITLES, node_rows(found.nodes, now=time.time()))
    if found.experiments:
        show("")
        show_table(
            ("experiment", "state", "round"),
            [
                (one.experiment, one.state, f"{one.round} of {one.num_rounds}")
                for one in found.experiments
            ],
            [one.reason for one in found.experiments],
        )
    else:
        say("no experiment runs")
    if not found.orchestrators:
        say("no orchestrator was heard in the last minute")
    next_command("fedmq dead" if found.num_dead else "fedmq status --json")


def node_rows(nodes: "Sequence[NodeStatus]", *, now: float) -> list[tuple[str | int, ...]]:
    """Return what a table says of each node."""
    return [
        (
            one.node,
            "yes" if one.online else "no",
            "never" if one.heard_at is None else ago(now - one.heard_at),
            one.waiting,
            one.in_hand,
            one.redelivered,
            "?" if one.dead is None else one.dead,
            one.doing,
        )
        for one in nodes
    ]


def dead(*, credentials: Credentials = None, as_json: Json = False) -> None:
    """List the dead letters: what services turned away."""
    import time

    from fedmq.monitor.letters import peek_dead

    letters = peek_dead(*_management(credentials))
    if as_json:
        show_json({"letters": letters})
        return
    if not letters:
        say("no message is dead")
        next_command("fedmq status")
        return
    show_table(
        ("at", "queue", "reason", "user", "type", "size"),
        [
            (
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.at)),
                one.queue,
                one.reason,
                one.user,
                one.type,
                size(one.size_bytes),
            )
            for one in letters
        ],
    )
    next_command("at the node: fedmq node status, which says why it turned messages away")


def _management(credentials: Path | None) -> "tuple[Management, str]":
    from urllib.parse import unquote, urlsplit

    from fedmq.hub.credentials import Role, read_credentials
    from fedmq.hub.management import Management
    from fedmq.settings import read_settings

    path = credentials or read_settings().hub / "credentials" / "monitor.toml"
    known = read_credentials(path, Role.MONITOR)
    management = Management(url=known.admin_url, user=known.user, password=known.password)
    return management, unquote(urlsplit(known.url).path[1:])
