"""Commands for a node's audit log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import FAILED, Json, next_command, say, show, show_json, show_table, typed
from fedmq.cli.node_home import open_own_records
from fedmq.cli.words import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedmq.audit.chain import Entry, Head
    from fedmq.audit.check import Verdict

_SHORT = 12
"""Digits of a digest that are shown where there is no room for all."""
_DIGEST = 64

app = typer.Typer(no_args_is_help=True, help="The audit log: what happened at this node.")


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An exported log; this node's own without it")
    ] = None,
    *,
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head that somebody keeps, NUMBER:HASH; it has to be in the log."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether the log is what was written, and up to which head."""
    from fedmq.audit.export import damage_of
    from fedmq.node.audit_verify import verify_file, verify_records

    heads = [_head(text) for text in head or ()]
    if file is None:
        verdict = verify_records(open_own_records(), heads)
    else:
        verdict = verify_file(file, heads)
    if as_json:
        show_json(verdict)
        if verdict.fault is not None:
            raise typer.Exit(FAILED)
        return
    if verdict.fault is not None:
        if verdict.num_entries:
            say(f"sound up to entry {verdict.head.number}, {_time(verdict.ended_at)}")
        raise damage_of(verdict)
    _show_verdict(verdict)
    next_command("fedmq node audit show", "fedmq node audit export FILE")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write")],
    *,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The first day (UTC); all without it."),
    ] = None,
) -> None:
    """Write the log to a file, which can be verified by itself."""
    from fedmq.audit.export import export_log

    moment = None if since is None else since.replace(tzinfo=UTC).timestamp()
    verdict = export_log(open_own_records().audit, file, since=moment)
    say(f"{count(verdict.num_entries, 'entry').replace('entrys', 'entries')} in {typed(file)}")
    show(f"head        {verdict.head}")
    next_command(f"fedmq node audit verify {typed(file)} --head {verdict.head}")


@app.command("show")
def show_entries(
    *,
    number: Annotated[int, typer.Option("-n", min=1, help="So many entries, the last ones.")] = 20,
    as_json: Json = False,
) -> None:
    """List the last entries, the newest at the end."""
    entries = open_own_records().audit.last(number)
    if as_json:
        show_json({"entries": entries})
        return
    rows = [(one.number, _time(one.at), one.kind, " ".join(_words(one))) for one in entries]
    if rows:
        show_table(("entry", "when", "kind", "what"), rows)
    else:
        say("nothing has happened yet")
    next_command("fedmq node audit verify", "fedmq node audit export FILE")


def _show_verdict(verdict: "Verdict") -> None:
    if not verdict.num_entries:
        show("entries     0")
        return
    span = f"{verdict.first} to {verdict.head.number}"
    show(f"entries     {verdict.num_entries}: {span}")
    show(f"from        {_time(verdict.began_at)}")
    show(f"to          {_time(verdict.ended_at)}")
    show(f"head        {verdict.head}")
    if verdict.num_heads:
        show(f"kept heads  {verdict.num_heads} found")


def _head(text: str) -> "Head":
    from fedmq.audit.chain import Head
    from fedmq.errors import ConfigurationError

    head = Head.parse(text)
    if head is None:
        raise ConfigurationError(
            f"{text!r} is no head",
            why="a head is the number of an entry, a colon, and 64 digits",
            fix="take it from fedmq node audit verify",
        )
    return head


def _time(at: float | None) -> str:
    try:
        return "-" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # a clock that was set beyond all calendars
        return f"{at:.0f} s"


def _words(entry: "Entry") -> "Iterator[str]":
    for name, value in entry.fields.items():
        text = f"{len(value)}" if isinstance(value, list) else str(value)
        if text:
            yield f"{name}={text[:_SHORT] if len(text) == _DIGEST else text}"
