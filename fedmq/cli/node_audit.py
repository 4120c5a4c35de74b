"""Commands for a node's audit log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.audit_words import parse_head, show_exported, show_last, show_verified
from fedmq.cli.console import Json
from fedmq.cli.node_home import open_membership, open_own_records

if TYPE_CHECKING:
    from fedmq.audit.witnesses import Witnesses
    from fedmq.node.records import Records


_LOG: Final = "fedmq node audit"
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
    fingerprint: Annotated[
        str, typer.Option(help="The hub's, with which the signatures in an exported log count.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Say whether the log is what was written, and up to which head."""
    from fedmq.audit.files import verify_file
    from fedmq.audit.witnesses import require_federation
    from fedmq.node.audit_verify import verify_records

    heads, given = [parse_head(text) for text in head or ()], " ".join(fingerprint.split())
    if file is None:
        records = open_own_records()
        witnesses = _own_witnesses(records)
        require_federation(witnesses, given)
        verdict = verify_records(records, heads, witnesses)
    else:
        verdict = verify_file(file, heads, fingerprint=given)
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
    records = open_own_records()
    witnesses = _own_witnesses(records)
    verdict = export_log(records.audit, file, since=moment, witnesses=witnesses)
    show_exported(verdict, file, _LOG)


@app.command("show")
def show_entries(
    *,
    number: Annotated[int, typer.Option("-n", min=1, help="So many entries, the last ones.")] = 20,
    as_json: Json = False,
) -> None:
    """List the last entries, the newest at the end."""
    show_last(open_own_records().audit.last(number), _LOG, as_json=as_json)


def _own_witnesses(records: "Records") -> "Witnesses | None":
    """Return who vouches for this node's log; None where it has no keys to see that with."""
    from fedmq.audit.witnesses import gather

    membership = open_membership()
    if not membership.credentials.identity:
        return None
    keyring = membership.keyring
    signed, held = keyring.rosters()
    return gather(
        membership.credentials.user,
        keyring.trust().governance,
        (held or signed).notice,  # the newest: a key that it revokes has signed nothing
        records.heads.countersigned(),
    )
