"""The command that frees what the programs of this machine keep and need no more."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.prepared import forget_over
from fedmq.cli.words import count, size

if TYPE_CHECKING:
    from pathlib import Path

    from fedmq.clocks import Clock
    from fedmq.settings import Settings
    from fedmq.transport.disused import Disused, Share
    from fedmq.transport.home import LocalHome
    from fedmq.transport.retention import Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What one program needs no more, and whether it went."""

    program: str
    """node, orchestrator, or orchestrator NAME."""
    is_running: bool
    """Then nothing went: it frees by itself."""
    is_freed: bool
    shares: "tuple[Share, ...]"


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; free nothing.")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """Free what node and orchestrator keep here and need no more, while they do not run."""
    from fedmq.errors import ConfigurationError
    from fedmq.settings import read_settings

    settings = read_settings()
    cleared = [_clear(*one, settings, dry_run=dry_run) for one in _programs(settings)]
    if not cleared:
        raise ConfigurationError(
            "no program has run here yet",
            why=f"{settings.home} holds no journal of a node or an orchestrator",
            fix="set FEDMQ_HOME to the folder of the program",
        )
    if as_json:
        show_json({"programs": cleared})
        return
    rows = [
        (one.program, share.what, share.count, size(share.size_bytes) if share.size_bytes else "-")
        for one in cleared
        for share in one.shares
    ]
    if rows:
        show_table(("program", "what", "number", "size"), rows)
    else:
        show("nothing to free")
    running = [one.program for one in cleared if one.is_running]
    for program in running:
        say(
            f"the {program} runs, and frees by itself, but not its audit log; gc does once it ended"
        )
    if rows and dry_run:
        next_command("fedmq gc")
    else:
        first, _, name = cleared[0].program.partition(" ")
        next_command(f"fedmq {first} status" + (f" --name {name}" if name else ""))


def _programs(settings: "Settings") -> "Iterator[tuple[str, Path]]":
    from fedmq.cli.stores import find_stores
    from fedmq.transport.home import JOURNAL_NAME
    from fedmq.types import ORCHESTRATOR

    for name, folder in find_stores(settings):
        yield (ORCHESTRATOR if name == ORCHESTRATOR else f"orchestrator {name}"), folder
    if (settings.node / JOURNAL_NAME).exists():
        yield "node", settings.node


def _clear(program: str, folder: "Path", settings: "Settings", *, dry_run: bool) -> Cleared:
    from fedmq.claims import claimed
    from fedmq.clocks import SystemClock
    from fedmq.errors import ConfigurationError
    from fedmq.transport.disused import free, measure
    from fedmq.transport.home import LocalHome
    from fedmq.transport.retention import Retention

    home, clock = LocalHome(folder), SystemClock()
    retention = Retention(num_models=settings.keep_models)
    is_running = False
    with ExitStack() as stack:
        try:
            # While it is looked and freed here, no such program can begin.
            stack.enter_context(claimed(folder, f"the {program}"))
        except ConfigurationError:
            is_running = True
        disused = _find(program, home, retention)
        shares = measure(home, disused, retention=retention, clock=clock)
        is_freed = not (dry_run or is_running)
        shares = (*shares, *_prune(program, home, settings, clock, dry_run=not is_freed))
        if program == "node":
            shares = (*shares, *forget_over(folder, home, dry_run=not is_freed))
        if is_freed:
            free(home, disused, retention=retention, clock=clock)
    return Cleared(program=program, is_running=is_running, is_freed=is_freed, shares=shares)


def _prune(
    program: str, home: "LocalHome", settings: "Settings", clock: "Clock", *, dry_run: bool
) -> "tuple[Share, ...]":
    """Return how much of an audit log is old; it is gone then, unless told otherwise."""
    from fedmq.transport.disused import Share

    if program == "node":
        from fedmq.node.audit_retention import prune_home
    else:
        from fedmq.orchestrator.audit_retention import prune_home
    years = settings.audit_years
    number = prune_home(home, years=years, clock=clock, dry_run=dry_run)
    # Their bytes are those of pages, which are empty only once they went.
    what = f"entries of the audit log older than {count(years, 'year')}"
    return (Share(what=what, count=number, size_bytes=0),) if number else ()


def _find(program: str, home: "LocalHome", retention: "Retention") -> "Disused":
    if program == "node":
        from fedmq.node import disused as of_node

        return of_node.find_disused(home)
    from fedmq.orchestrator import disused as of_orchestrator

    return of_orchestrator.find_disused(home, retention)
