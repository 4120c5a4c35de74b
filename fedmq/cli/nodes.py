"""The command for the nodes of a federation, as a researcher sees them."""

from typing import Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.researcher import Credentials, open_client


def nodes(
    context: typer.Context,
    *,
    data: Annotated[bool, typer.Option("--data", help="And what they tell of their data.")] = False,
    credentials: Credentials = None,
    as_json: Json = False,
) -> None:
    """List the nodes that were heard of: counts and ranges of their data, of no small group."""
    from datetime import UTC, datetime

    from fedmq.researcher.nodes import describe

    with open_client(context, credentials) as client:
        known = client.nodes()
    if as_json:
        show_json({"nodes": known.nodes, "no_answer_from": known.silent})
        return
    if known.silent:
        say(f"without what {', '.join(known.silent)} alone may know: no answer")
    if known.nodes:
        rows = [
            (one.node, f"{datetime.fromtimestamp(one.heard_at, UTC):%Y-%m-%d %H:%M} UTC")
            for one in known.nodes
        ]
        notes = [
            "\n".join(line for dataset in one.datasets for line in describe(dataset))
            or "tells of no data"
            for one in known.nodes
        ]
        show_table(("node", "last heard"), rows, notes if data else ())
    else:
        show("no node was heard of yet")
    next_command("fedmq run experiment.toml" if data else "fedmq nodes --data")
