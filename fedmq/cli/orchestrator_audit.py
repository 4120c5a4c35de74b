"""Commands for the orchestrator's audit log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

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
    as_json: Json = False,
) -> None:
    """Say whether the log is what was written, and up to which head."""
    from fedmq.audit.files import verify_file

    heads = [parse_head(text) for text in head or ()]
    verdict = _open_log().verify(heads) if file is None else verify_file(file, heads)
    show_verified(verdict, _LOG, as_json=as_json)


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
    verdict = export_log(_open_log(), file, since=moment)
    show_exported(verdict, file, _LOG)


@app.command("show")
def show_entries(
    *,
    number: Annotated[int, typer.Option("-n", min=1, help="So many entries, the last ones.")] = 20,
    as_json: Json = False,
) -> None:
    """List the last entries, the newest at the end."""
    show_last(_open_log().last(number), _LOG, as_json=as_json)


def _open_log() -> "AuditLog":
    from fedmq.audit.log import SCHEMA, AuditLog
    from fedmq.clocks import SystemClock
    from fedmq.errors import ConfigurationError
    from fedmq.settings import read_settings
    from fedmq.transport.home import JOURNAL_NAME, LocalHome

    home = read_settings().orchestrator
    if not (home / JOURNAL_NAME).exists():
        raise ConfigurationError(
            "no orchestrator has run here yet",
            why=f"{home} holds no journal",
            fix="fedmq orchestrator start, or ask where it runs: that is another FEDMQ_HOME",
        )
    return AuditLog(LocalHome(home).journal(SCHEMA), SystemClock())
