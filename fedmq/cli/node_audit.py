"""Commands for a node's audit log."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.audit_words import entry_words, parse_head, show_verdict, time_words
from fedmq.cli.console import FAILED, Json, next_command, say, show, show_json, show_table, typed
from fedmq.cli.node_home import open_membership, open_own_records
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.audit.witnesses import Witnesses
    from fedmq.node.records import Records


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
    from fedmq.audit.export import damage_of
    from fedmq.audit.files import verify_file
    from fedmq.node.audit_verify import verify_records

    heads = [parse_head(text) for text in head or ()]
    if file is None:
        records = open_own_records()
        verdict = verify_records(records, heads, _own_witnesses(records))
    else:
        verdict = verify_file(file, heads, fingerprint=" ".join(fingerprint.split()))
    if as_json:
        show_json(verdict)
        if verdict.fault is not None:
            raise typer.Exit(FAILED)
        return
    if verdict.fault is not None:
        if verdict.num_entries:
            say(f"sound up to entry {verdict.head.number}, {time_words(verdict.ended_at)}")
        raise damage_of(verdict)
    show_verdict(verdict)
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
    records = open_own_records()
    witnesses = _own_witnesses(records)
    verdict = export_log(records.audit, file, since=moment, witnesses=witnesses)
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
    rows = [
        (one.number, time_words(one.at), one.kind, " ".join(entry_words(one))) for one in entries
    ]
    if rows:
        show_table(("entry", "when", "kind", "what"), rows)
    else:
        say("nothing has happened yet")
    next_command("fedmq node audit verify", "fedmq node audit export FILE")


def _own_witnesses(records: "Records") -> "Witnesses | None":
    """Return who vouches for this node's log; None where it has no keys to see that with."""
    from fedmq.audit.witnesses import gather

    membership = open_membership()
    if not membership.credentials.identity:
        return None
    keyring = membership.keyring
    return gather(
        membership.credentials.user,
        keyring.trust().governance,
        keyring.signed_roster().notice,
        records.heads.countersigned(),
    )
