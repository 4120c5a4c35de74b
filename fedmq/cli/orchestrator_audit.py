"""Commands for the orchestrator's audit log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli import stores
from fedmq.cli.audit_words import parse_head, show_exported, show_last, show_verified
from fedmq.cli.console import Json

if TYPE_CHECKING:
    from fedmq.audit.log import AuditLog

_LOG: Final = "fedmq orchestrator audit"
app = typer.Typer(no_args_is_help=True, help="The audit log: what this orchestrator did.")


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An exported log; this orchestrator's own without it")
    ] = None,
    *,
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head that somebody keeps, NUMBER:HASH; it has to be in the log."),
    ] = None,
    credentials: stores.Credentials = None,
    name: stores.Name = "",
    as_json: Json = False,
) -> None:
    """Say whether the log is what was written, and up to which head."""
    from fedmq.audit.files import verify_file

    heads = [parse_head(text) for text in head or ()]
    if file is None:
        verdict = _open_log(credentials, name).verify(heads)
    else:
        verdict = verify_file(file, heads)
    words = stores.own_words(credentials, name)
    show_verified(verdict, _LOG, as_json=as_json, whose=words)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write")],
    *,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The first day (UTC); all without it."),
    ] = None,
    credentials: stores.Credentials = None,
    name: stores.Name = "",
) -> None:
    """Write the log to a file, which can be verified by itself."""
    from fedmq.audit.export import export_log

    moment = None if since is None else since.replace(tzinfo=UTC).timestamp()
    verdict = export_log(_open_log(credentials, name), file, since=moment)
    show_exported(verdict, file, _LOG)


@app.command("show")
def show_entries(
    *,
    number: Annotated[int, typer.Option("-n", min=1, help="So many entries, the last ones.")] = 20,
    credentials: stores.Credentials = None,
    name: stores.Name = "",
    as_json: Json = False,
) -> None:
    """List the last entries, the newest at the end."""
    entries = _open_log(credentials, name).last(number)
    show_last(entries, _LOG, as_json=as_json, whose=stores.own_words(credentials, name))


def _open_log(credentials: Path | None, name: str) -> "AuditLog":
    from fedmq.audit.log import SCHEMA, AuditLog
    from fedmq.clocks import SystemClock
    from fedmq.transport.home import LocalHome

    home = stores.require_store(credentials, name)
    return AuditLog(LocalHome(home).journal(SCHEMA), SystemClock())
