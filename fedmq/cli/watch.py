"""Commands of who watches the federation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table
from fedmq.cli.words import ago, count, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedmq.hub.membership import Membership
    from fedmq.monitor.letters import DeadLetters
    from fedmq.monitor.status import FederationStatus

NODE_TITLES: Final = (
    "node",
    "online",
    "last heard",
    "waiting",
    "in hand",
    "redelivered",
    "dead in 7 d",
    "doing",
)

_PROGRAM: Final = "fedmq status"
TOO_OFTEN: Final = "delivery_limit"

Credentials = Annotated[
    Path | None, typer.Option(help="The file that the hub wrote for the user monitor.")
]
Hours = Annotated[
    int, typer.Option(min=1, max=168, help="How far to look back; no copy is kept for longer.")
]


def status(*, credentials: Credentials = None, as_json: Json = False) -> None:
    """Show one row per node and one per running experiment."""
    import time

    from fedmq.hub.logins import login_of
    from fedmq.hub.management import Management
    from fedmq.hub.proxies import proxy_of
    from fedmq.monitor.status import read_status
    from fedmq.settings import read_settings

    membership = _membership(credentials)
    known, keyring = membership.credentials, membership.keyring
    settings = read_settings()
    proxy = proxy_of(settings)
    management = Management(
        url=known.admin_url, user=known.user, password=known.password, proxy=proxy
    )
    roster = keyring.roster(keyring.signed_roster())
    login = login_of(membership, settings, _PROGRAM)
    found = read_status(management, login, roster, now=time.time())
    print_status(found, as_json=as_json)


def print_status(found: "FederationStatus", *, as_json: bool = False) -> None:
    """Print what can be seen of the federation now."""
    import time

    if as_json:
        show_json(
            {
                "nodes": found.nodes,
                "experiments": found.experiments,
                "dead": found.num_dead,
                "has_all_dead": found.has_all_dead,
                "orchestrators": found.orchestrators,
                "hindrances": found.hindrances,
            }
        )
        return
    show_table(NODE_TITLES, node_rows(found, now=time.time()))
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
    if not any(not one.is_away for one in found.orchestrators):
        say("no orchestrator was heard in the last minute")
    for led in found.orchestrators:
        if led.stand_bys and not led.is_away:
            programs = count(led.stand_bys, "program")
            say(f"{led.name} leads; {programs} would take over its experiments")
    for one in found.hindrances:
        say(f"{one.what}\n  why: {one.why}\n  fix: {one.fix}")
    if found.num_dead:
        say(f"the queue `dead` holds {found.num_dead}, until the hub's operator deals with them")
    next_command("fedmq dead" if found.num_dead else "fedmq status --json")


def node_rows(found: "FederationStatus", *, now: float) -> list[tuple[str | int, ...]]:
    """Return what a table says of each node."""
    more = "" if found.has_all_dead else "+"
    return [
        (
            one.node,
            "yes" if one.online else "no",
            "never" if one.heard_at is None else ago(now - one.heard_at),
            one.waiting,
            one.in_hand,
            one.redelivered,
            f"{one.dead}{more}",
            one.doing,
        )
        for one in found.nodes
    ]


def dead(*, credentials: Credentials = None, hours: Hours = 168, as_json: Json = False) -> None:
    """List the dead letters of the last days: what services turned away."""
    from fedmq.hub.logins import login_of
    from fedmq.monitor.letters import read_dead
    from fedmq.settings import read_settings

    settings = read_settings()
    login = login_of(_membership(credentials), settings, _PROGRAM)
    print_dead(read_dead(login, hours=hours), hours=hours, as_json=as_json)


def print_dead(found: "DeadLetters", *, hours: int, as_json: bool = False) -> None:
    """Print the dead letters of the last hours."""
    import time

    if not found.is_complete:
        say("there are more than could be read in time; ask for fewer --hours")
    if as_json:
        show_json({"letters": found.letters, "is_complete": found.is_complete})
        return
    if not found.letters:
        say(f"no message died in the last {hours} h")
        next_command("fedmq status")
        return
    show_table(
        ("sent", "queue", "reason", "user", "type", "size"),
        [
            (
                "no time"
                if one.sent_at is None
                else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.sent_at)),
                one.queue,
                one.reason,
                one.user,
                one.type,
                size(one.size_bytes),
            )
            for one in found.letters
        ],
    )
    if any(one.reason == TOO_OFTEN for one in found.letters):
        say(
            f"{TOO_OFTEN}: handed over too often without a word that it arrived, so whoever reads\n"
            "  the queue ended or lost its connection each time; its log says why. Nothing is\n"
            "  lost: the sender sends it again until it has a receipt."
        )
    others = [one.queue for one in found.letters if one.reason != TOO_OFTEN]
    next_command(*reasons_are_at(others))


def reasons_are_at(queues: "Iterable[str]") -> list[str]:
    """Return the commands that say why messages died in these queues, each with its place."""
    names = set(queues)
    nodes = sorted({name.split(".")[1] for name in names if name.startswith("node.")})
    commands = [f"at {', '.join(nodes)}: fedmq node status, which says why"] if nodes else []
    if any(name.startswith(("experiment.", "orchestrator.")) for name in names):
        commands.append("at the orchestrator: fedmq orchestrator status, which says why")
    # A researcher's client has no such command, and a letter without a queue has no place.
    return commands or ["fedmq status"]


def _membership(credentials: Path | None) -> "Membership":
    from fedmq.hub.membership import read_membership
    from fedmq.settings import read_settings
    from fedmq.types import Role

    path = credentials or read_settings().hub / "credentials" / "monitor.toml"
    return read_membership(path, Role.MONITOR)
