"""Commands of who watches the federation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import next_command, say, show, show_json

if TYPE_CHECKING:
    from fedmq.hub.management import Management
    from fedmq.transport.rabbitmq import Login

Credentials = Annotated[
    Path | None, typer.Option(help="The file that the hub wrote for the user monitor.")
]
Hours = Annotated[
    int, typer.Option(min=1, max=168, help="How far to look back; no copy is kept for longer.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def status(*, credentials: Credentials = None, as_json: Json = False) -> None:
    """Show one row per node and one per running experiment."""
    import time

    from fedmq.monitor.status import read_status, to_json

    found = read_status(*_ways(credentials))
    if as_json:
        show(to_json(found))
        return
    show(
        f"{'node':<20}{'online':<8}{'last heard':<14}{'waiting':>8}{'in hand':>8}"
        f"{'redelivered':>12}{'dead in 7 d':>12}  doing"
    )
    for node in found.nodes:
        num_dead = f"{node.dead}{'' if found.has_all_dead else '+'}"
        heard = "never" if node.heard_at is None else _ago(time.time() - node.heard_at)
        show(
            f"{node.node:<20}{'yes' if node.online else 'no':<8}{heard:<14}{node.waiting:>8}"
            f"{node.in_hand:>8}{node.redelivered:>12}{num_dead:>12}  {node.doing}"
        )
    show("")
    show(f"{'experiment':<40}{'state':<12}{'round':<12}reason")
    for one in found.experiments:
        where = f"{one.round} of {one.num_rounds}"
        show(f"{one.experiment:<40}{one.state:<12}{where:<12}{one.reason}".rstrip())
    if not found.orchestrators:
        say("no orchestrator was heard in the last minute")
    if found.num_dead:
        say(f"the queue `dead` holds {found.num_dead}, until the hub's operator deals with them")
    next_command("fedmq dead" if found.num_dead else "fedmq status --json")


def dead(*, credentials: Credentials = None, hours: Hours = 168, as_json: Json = False) -> None:
    """List the dead letters of the last days: what services turned away."""
    import time

    from fedmq.monitor.letters import DeadLetter, read_dead

    _, login = _ways(credentials)
    found = read_dead(login, hours=hours)
    if not found.is_complete:
        say("there are more than could be read in time; ask for fewer --hours")
    if as_json:
        names = DeadLetter.__slots__
        show_json([{name: getattr(letter, name) for name in names} for letter in found.letters])
        return
    for letter in found.letters:
        sent = "no time"
        if letter.sent_at is not None:
            sent = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.sent_at))
        show(
            f"{sent:<21}{letter.queue:<32}{letter.reason:<16}{letter.user:<16}"
            f"{letter.type:<20}{letter.size_bytes:>9} B"
        )
    if not found.letters:
        say(f"no message died in the last {hours} h")
        next_command("fedmq status")
        return
    next_command("at the node: fedmq node status, which says why it turned messages away")


def _ways(credentials: Path | None) -> "tuple[Management, Login]":
    from fedmq.hub.credentials import read_credentials
    from fedmq.hub.management import Management
    from fedmq.settings import read_settings
    from fedmq.transport.rabbitmq import make_login

    path = credentials or read_settings().hub / "credentials" / "monitor.toml"
    known = read_credentials(path)
    management = Management(url=known.admin_url, user=known.user, password=known.password)
    return management, make_login(known.url, user=known.user, password=known.password)


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"
