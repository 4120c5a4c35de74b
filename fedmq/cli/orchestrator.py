"""Commands of who runs the orchestrator."""

from pathlib import Path
from typing import Annotated

import typer

from fedmq.cli import joining, orchestrator_audit, rosters, rotating, stores
from fedmq.cli.console import Json, next_command, say, show, show_json, show_room, show_table
from fedmq.cli.words import ago, size

app = typer.Typer(no_args_is_help=True, help="The program that leads experiments.")
app.add_typer(orchestrator_audit.app, name="audit")


@app.command()
def start(
    context: typer.Context,
    *,
    credentials: stores.Credentials = None,
    stand_by: Annotated[
        bool,
        typer.Option(
            "--stand-by", help="Where another one leads the experiments, wait to take over."
        ),
    ] = False,
    json_logs: Annotated[bool, typer.Option(help="Log lines as JSON.")] = False,
) -> None:
    """Lead experiments until stopped; started again, go on where it was."""
    from fedmq import __version__
    from fedmq.cli.expiry import Reminder, say_when_it_ends
    from fedmq.cli.leading import Turns
    from fedmq.cli.serving import keep_freed_memory, make_transport, stop_on_signals
    from fedmq.clocks import SystemClock
    from fedmq.hub.membership import read_membership
    from fedmq.logs import configure, log_ending, log_roster
    from fedmq.orchestrator.needs import read_room
    from fedmq.orchestrator.service import OrchestratorService
    from fedmq.orchestrator.status import read_signs
    from fedmq.orchestrator.succession import Succession
    from fedmq.settings import read_settings
    from fedmq.transport.lives import Lives, Nature
    from fedmq.transport.machine import Machine
    from fedmq.transport.retention import Retention
    from fedmq.transport.topology import profile_at
    from fedmq.types import Role

    machine: Machine = context.obj
    settings = read_settings()
    path, words = stores.find_credentials(credentials), stores.own_words(credentials)
    known = read_membership(path, Role.ORCHESTRATOR)
    folder = settings.orchestrator_of(known.credentials.user)
    known.wire(log_roster)  # without keys it is of no use to wait
    configure(as_json=json_logs)
    home, clock = machine.home(folder), SystemClock()

    def make_lives(succession: Succession) -> Lives:
        # Read anew for each turn: keys may have changed while this one stood by.
        membership = read_membership(path, Role.ORCHESTRATOR)
        login, wire = membership.credentials, membership.wire(log_roster)
        connect = make_transport(machine, membership, f"fedmq {__version__}")
        reminder = Reminder(membership, clock, log_ending)

        def make() -> OrchestratorService:
            succession.require()
            return OrchestratorService(
                name=login.user,
                home=home,
                make_transport=connect,
                wire=wire,
                clock=clock,
                version=__version__,
                retention=Retention(num_models=settings.keep_models),
                profile=profile_at(login.url),
                remind=reminder.tick,
                leader=succession.program.words,
                count_stand_bys=succession.count_stand_bys,
            )

        nature = Nature(
            make=make,
            read_room=lambda: read_room(home),
            signs=lambda room: read_signs(home, __version__, room, now=clock.now()),
        )
        say_when_it_ends(membership)
        say(f"orchestrator {login.user} at {login.url}; Ctrl-C ends it, nothing is lost")
        return Lives(
            me=login.user,
            nature=nature,
            home=home,
            make_transport=connect,
            wire=wire,
            clock=clock,
        )

    turns = Turns(
        folder,
        clock=clock,
        lease_s=settings.lease_s,
        stands_by=stand_by,
        options=words,
        make_lives=make_lives,
    )
    stores.claim_store(folder, known.credentials.user)
    keep_freed_memory()
    stop_on_signals(turns.stop)
    turns.run()
    say(f"orchestrator {known.credentials.user} has ended; its experiments wait")
    next_command(f"fedmq orchestrator start{words}", f"fedmq orchestrator status{words}")


@app.command()
def renew(
    certificate: Annotated[Path, typer.Argument(help="The file that the hub's operator sent")],
    *,
    credentials: stores.Credentials = None,
) -> None:
    """Take a new certificate or password for the broker; one that runs takes it from there."""
    joining.renew(stores.find_credentials(credentials), certificate)
    next_command(f"fedmq orchestrator status{stores.own_words(credentials)}")


@app.command()
def roster(
    *,
    credentials: stores.Credentials = None,
    accept: rosters.Accept = False,
    fingerprint: rosters.Fingerprints = None,
    as_json: Json = False,
) -> None:
    """Show who is in the federation with which keys; take a roster that waits for your word."""
    from fedmq.hub.membership import read_membership
    from fedmq.types import Role

    known = read_membership(stores.find_credentials(credentials), Role.ORCHESTRATOR)
    words = stores.own_words(credentials)
    rosters.show_or_accept(
        known.keyring,
        f"fedmq orchestrator roster{words}",
        f"fedmq orchestrator status{words}",
        accept=accept,
        fingerprints=fingerprint,
        as_json=as_json,
    )


@app.command()
def rotate(
    *,
    credentials: stores.Credentials = None,
    request: rotating.RequestFile = None,
    answer: rotating.AnswerFile = None,
    fresh: rotating.Fresh = False,
) -> None:
    """Ask the hub for new keys that sign and to which others seal; one that runs takes them."""
    rotating.rotate(
        stores.find_credentials(credentials),
        request_file=request,
        answer_file=answer,
        is_fresh=fresh,
    )


@app.command()
def status(
    *, credentials: stores.Credentials = None, name: stores.Name = "", as_json: Json = False
) -> None:
    """Show what this orchestrator leads, has waiting, keeps, and turned away."""
    import time

    from fedmq.errors import DiskFull
    from fedmq.orchestrator.needs import read_room
    from fedmq.orchestrator.status import read_status
    from fedmq.transport.home import LocalHome

    home = stores.require_store(credentials, name)
    try:
        found = read_status(LocalHome(home), now=time.time())
    except DiskFull:
        show_room(read_room(LocalHome(home)))
        raise
    if as_json:
        show_json(found)
        return
    if found.leader is not None:
        since = ago(time.time() - found.leader.heard_at)
        is_led = found.leader.is_alive
        show(f"leader            {'' if is_led else 'none; '}{found.leader.program}, heard {since}")
    for one in found.stand_bys:
        show(f"stands by         {one.program}")
    show(f"leads             {found.num_led}")
    show(f"unsent            {found.unsent}")
    show(f"payloads awaited  {found.payloads_awaited}")
    show(f"disk used         {size(found.size_bytes)}")
    show_room(found.room)
    for reason, count in found.rejected.items():
        show(f"turned away       {count} x {reason}")
    for node, number in found.witnessed.items():
        show(f"witnessed         {node} up to entry {number}")
    for node, count in found.refused_heads.items():
        show(f"heads refused     {count} x {node}: its audit log was cut, rewritten or put back")
    if found.experiments:
        show("")
        show_table(
            ("experiment", "researcher", "state", "round", "disk"),
            [
                (
                    one.experiment,
                    one.researcher,
                    one.state,
                    f"{one.round} of {one.num_rounds}",
                    size(one.size_bytes),
                )
                for one in found.experiments
            ],
            [one.reason for one in found.experiments],
        )
    next_command("fedmq dead" if found.rejected else "fedmq status")
