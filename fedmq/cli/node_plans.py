"""Commands for the plans that a node's operator decides on."""

from typing import Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.node_home import open_own_records

_SHORT = 12
"""Digits of a digest that are shown where there is no room for all."""

app = typer.Typer(no_args_is_help=True, help="Training plans: what experiments may run here.")

Plan = Annotated[str, typer.Argument(help="A plan's name, or the beginning of its digest")]


@app.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """List the plans that somebody wants to run here, those to decide on first."""
    known = open_own_records().plans.all()
    if as_json:
        show_json({"plans": known})
        return
    if known:
        show_table(
            ("decision", "plan", "digest", "asked by", "purpose"),
            [
                (
                    one.decision,
                    one.name,
                    one.digest[:_SHORT],
                    one.asked.researcher or "-",
                    one.asked.purpose or "-",
                )
                for one in known
            ],
        )
    else:
        from fedmq.learning.catalogue import CATALOGUE

        say(f"nobody asked for a plan yet; the catalogue has {', '.join(sorted(CATALOGUE))}")
    next_command("fedmq node plans show PLAN", "fedmq node plans approve PLAN")


@app.command("show")
def show_plan(plan: Plan, *, as_json: Json = False) -> None:
    """Print what would run: who asked, the digest, and every line of the source."""
    store = open_own_records().plans
    record = store.find(plan)
    source = store.source(record)
    if as_json:
        show_json({"plan": record, "source": source})
        return
    say(f"plan        {record.name}  ({'shipped' if record.is_shipped else 'of the catalogue'})")
    say(f"digest      {record.digest}")
    say(f"decision    {record.decision} {record.reason}".rstrip())
    if record.asked.researcher:
        say(f"asked by    {record.asked.researcher} for {record.asked.experiment}")
        say(f"purpose     {record.asked.purpose}")
    show(source)
    next_command(
        f"fedmq node plans approve {record.digest[:_SHORT]}",
        f"fedmq node plans reject {record.digest[:_SHORT]} --reason TEXT",
    )


@app.command()
def approve(plan: Plan) -> None:
    """Let exactly these bytes run on this node's data."""
    _decide(plan, "approved", "")


@app.command()
def reject(
    plan: Plan, *, reason: Annotated[str, typer.Option(help="For your own records.")] = ""
) -> None:
    """Do not let these bytes run here."""
    _decide(plan, "rejected", reason)


def _decide(plan: str, decision: str, reason: str) -> None:
    import time

    from fedmq.node.policy import Decision

    store = open_own_records().plans
    record = store.find(plan)
    store.decide(record, Decision(decision), reason, now=time.time())
    say(f"{record.name} {record.digest[:_SHORT]} is {decision} on this node")
    next_command("fedmq node plans list")
