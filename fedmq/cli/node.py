"""Commands of who runs the node of a hospital."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from fedmq.cli import (
    joining,
    node_audit,
    node_check,
    node_data,
    node_plans,
    node_policy,
    rosters,
    rotating,
)
from fedmq.cli.console import Json, next_command, say, show, show_json, show_room, typed
from fedmq.cli.node_home import (
    open_membership,
    open_own_records,
    operator_name,
    policy_path,
    require_node,
)

app = typer.Typer(no_args_is_help=True, help="The program of one hospital.")
app.add_typer(node_data.app, name="data")
app.add_typer(node_plans.app, name="plans")
app.add_typer(node_audit.app, name="audit")
app.add_typer(node_policy.app, name="policy")
app.command("check")(node_check.check)


@app.command()
def join(
    token: joining.Token,
    *,
    fingerprint: joining.Fingerprint = "",
    request: joining.RequestFile = None,
    answer: joining.AnswerFile = None,
    wait: joining.Wait = 600.0,
) -> None:
    """Make this machine a node: its keys are made here; the hub's operator admits it."""
    from fedmq.hub.credentials import read_credentials
    from fedmq.node.audit_facts import NodeMade
    from fedmq.node.records import open_records
    from fedmq.settings import read_settings
    from fedmq.transport.home import LocalHome

    folder = read_settings().node
    has_joined = joining.join(
        "node",
        folder / "credentials.toml",
        token,
        fingerprint=fingerprint,
        request_file=request,
        answer_file=answer,
        wait_s=wait,
    )
    if has_joined:
        records = open_records(LocalHome(folder), by=operator_name())
        records.audit.note(NodeMade(node=read_credentials(folder / "credentials.toml").user))
        records.close()
        say(f"this machine is a node of the federation; its folder is {typed(folder)}")
        next_command("fedmq node data add NAME FOLDER", "fedmq node plans list", "fedmq node start")


@app.command()
def renew(
    certificate: Annotated[Path, typer.Argument(help="The file that the hub's operator sent")],
) -> None:
    """Take a new certificate or password for the broker; a node that runs uses it by itself."""
    joining.renew(require_node() / "credentials.toml", certificate)
    next_command("fedmq node status")


@app.command()
def rotate(
    *,
    request: rotating.RequestFile = None,
    answer: rotating.AnswerFile = None,
    fresh: rotating.Fresh = False,
) -> None:
    """Ask the hub for new keys that sign and to which others seal; a node that runs takes them."""
    credentials = require_node() / "credentials.toml"
    rotating.rotate(credentials, request_file=request, answer_file=answer, is_fresh=fresh)


@app.command()
def roster(
    *,
    accept: rosters.Accept = False,
    fingerprint: rosters.Fingerprints = None,
    as_json: Json = False,
) -> None:
    """Show who is in the federation with which keys; take a roster that waits for your word."""
    rosters.show_or_accept(
        open_membership().keyring,
        "fedmq node roster",
        "fedmq node status",
        accept=accept,
        fingerprints=fingerprint,
        as_json=as_json,
    )


@app.command()
def start(
    context: typer.Context,
    *,
    json_logs: Annotated[bool, typer.Option(help="Log lines as JSON.")] = False,
) -> None:
    """Take part in experiments until stopped; started again, go on where it was."""
    from fedmq import __version__
    from fedmq.claims import claimed
    from fedmq.cli.expiry import Reminder, say_when_it_ends
    from fedmq.cli.node_containment import contained_worker, read_max_threads
    from fedmq.cli.prepared import forget_over
    from fedmq.cli.serving import keep_freed_memory, make_transport, stop_on_signals
    from fedmq.clocks import SystemClock
    from fedmq.hub.membership import read_membership
    from fedmq.logs import configure, log_ending, log_roster
    from fedmq.node.capped_log import INCIDENTS_NAME, CappedLog
    from fedmq.node.needs import read_room, read_signs
    from fedmq.node.policy_file import PolicyFile
    from fedmq.node.service import NodeService
    from fedmq.transport.lives import Lives, Nature
    from fedmq.transport.machine import Machine
    from fedmq.types import NodeId, Role

    machine: Machine = context.obj
    folder = require_node()
    membership = read_membership(folder / "credentials.toml", Role.NODE)
    login, wire = membership.credentials, membership.wire(log_roster)
    _require_member()
    configure(as_json=json_logs)
    home, clock = machine.home(folder), SystemClock()
    policy = PolicyFile(policy_path())
    connect = make_transport(machine, membership, f"fedmq {__version__}")
    containment, make_worker = contained_worker(folder)
    max_threads = read_max_threads()

    reminder = Reminder(membership, clock, log_ending)

    def make() -> NodeService:
        return NodeService(
            node=NodeId(login.user),
            home=home,
            make_transport=connect,
            wire=wire,
            make_worker=make_worker,
            clock=clock,
            version=__version__,
            keep_incident=CappedLog(folder / INCIDENTS_NAME).write,
            read_policy=policy.read,
            containment=containment,
            max_threads=max_threads,
            remind=reminder.tick,
        )

    nature = Nature(
        make=make,
        read_room=lambda: read_room(home),
        signs=lambda _room: read_signs(home, __version__),
    )
    with claimed(folder, "a node"):
        lives = Lives(
            me=login.user,
            nature=nature,
            home=home,
            make_transport=connect,
            wire=wire,
            clock=clock,
        )
        forget_over(folder, home, dry_run=False)
        keep_freed_memory()
        stop_on_signals(lives.stop)
        say_when_it_ends(membership)
        say(f"node {login.user} at {login.url}; Ctrl-C ends it, nothing is lost")
        lives.run()
    say(f"node {login.user} has ended; its tasks wait")
    next_command("fedmq node start", "fedmq node status")


@app.command()
def leave() -> None:
    """Leave the federation for good: close the audit log, which stays; never start again here."""
    from fedmq.claims import claimed
    from fedmq.cli.words import count
    from fedmq.node.closing import leave as close

    with claimed(require_node(), "the node"):
        records = open_own_records()
        record, head = close(records), records.audit.head()
        num_unsent = int(records.journal.cell("SELECT count(*) FROM outbox") or 0)
    experiments, rounds = count(record.num_experiments, "experiment"), record.num_rounds
    say(f"this node has left the federation, after {experiments} with {count(rounds, 'round')}")
    if num_unsent:
        say(f"{count(num_unsent, 'message')} without a receipt will not be sent any more")
    say("its files stay; ask the hub's operator to take its login back, and give them this head:")
    say("the node is stopped, so no orchestrator signs the closing record")
    show(f"head        {head}")
    next_command("fedmq node audit export FILE", "fedmq node audit verify")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show what this node has waiting, keeps, and turned away; and doubts about its audit log."""
    from fedmq.cli.objection_words import find_doubts, show_doubts
    from fedmq.errors import DiskFull
    from fedmq.hub.membership import read_membership
    from fedmq.node.containment import find_containment
    from fedmq.node.needs import read_room
    from fedmq.transport.home import LocalHome
    from fedmq.transport.inbox import count_rejected

    folder = require_node()
    room, keyring = (
        read_room(LocalHome(folder)),
        read_membership(folder / "credentials.toml").keyring,
    )
    try:
        records = open_own_records()
    except DiskFull:
        show_room(room)
        raise
    journal, doubts = records.journal, find_doubts(records.heads)
    counts = {
        name: int(journal.cell(f"SELECT count(*) FROM {table}") or 0)  # noqa: S608 - own names
        for name, table in (
            ("datasets", "datasets"),
            ("plans_awaiting", "plans WHERE decision = 'awaiting'"),
            ("tasks_waiting", "tasks"),
            ("tasks_held", "holds WHERE NOT is_over"),
            ("unsent", "outbox"),
            ("payloads_awaited", "waiting"),
        )
    }
    reasons = count_rejected(journal)
    found, mark = find_containment(), rosters.find_mark(keyring)
    if as_json:
        containment = {"level": found.level, "means": sorted(found.means), "lacks": found.lacks}
        show_json(
            {
                **counts,
                "rejected": reasons,
                "room": room,
                "containment": containment,
                "roster": mark,
                "audit": doubts,
            }
        )
        return
    for name, count in counts.items():
        show(f"{name.replace('_', ' '):<18}{count}")
    show_room(room)
    show(f"containment       {found.line}")
    show(f"roster            {mark or 'cannot be read: fedmq node check'}")
    for reason, count in reasons.items():
        show(f"turned away       {count} x {reason}")
    show_doubts(doubts)
    if doubts:
        next_command("fedmq node audit verify", "fedmq node audit export FILE")
    elif "roster_forked" in reasons:
        next_command("fedmq node roster")
    elif counts["plans_awaiting"]:
        next_command("fedmq node plans list")
    else:
        next_command("fedmq node data list", "fedmq node plans list")


def _require_member() -> None:
    """Return if the node has not left; a disk so full that nobody can say lets it wait."""
    from fedmq.errors import DiskFull
    from fedmq.node.closing import require_member

    with suppress(DiskFull):
        records = open_own_records()
        try:
            require_member(records)
        finally:
            records.close()
