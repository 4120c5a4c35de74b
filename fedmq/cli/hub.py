"""Commands of who runs the hub: the broker and its members."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table, typed

if TYPE_CHECKING:
    from fedmq.hub.enrolment import Enrolment
    from fedmq.hub.requests import Requests
    from fedmq.hub.rotations import Rotations

app = typer.Typer(no_args_is_help=True, help="The broker and its members.")

FETCHED_WITHIN_S = 3.0
"""A site that waits for its answer has it by then."""
Name = Annotated[str, typer.Argument(help="a-z, 0-9 and -, such as chu-lyon")]


@app.command()
def init(
    federation: Annotated[str, typer.Argument(help="The federation's name: a-z, 0-9 and -")],
    *,
    host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address at which members reach the broker; may be repeated."),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="Address of this machine to listen at; 0.0.0.0 and :: are all.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="443 passes most hospitals' firewalls.")
    ] = None,
    tls_1_2: Annotated[
        bool, typer.Option("--tls-1.2", help="Take members that speak TLS 1.2 and nothing newer.")
    ] = False,
) -> None:
    """Make a hub: its authority, the roster's keys, and a broker that knows certificates."""
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    state = lifecycle.make(
        read_settings().hub,
        federation=federation,
        hosts=host or [listen],
        address=listen,
        port=port,
        allows_tls_1_2=tls_1_2,
    )
    say(f"the federation {federation} has a hub; members will reach it at {state.url}")
    say("its fingerprint, which you read out to those who join:")
    fingerprint()
    next_command("fedmq hub up", "fedmq hub add-node NAME")


@app.command()
def up() -> None:
    """Start the hub: a private broker, or the one that FEDMQ_BROKER_URL names."""
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    settings = read_settings()
    if settings.broker_url is not None and settings.broker_admin_url is not None:
        state = lifecycle.external(
            settings.hub,
            amqp_url=settings.broker_url,
            admin_url=settings.broker_admin_url.get_secret_value(),
            authority=settings.read_broker_authority(),
        )
    else:
        state = lifecycle.up(settings.hub, say)
    _tidy()
    say(f"the hub is up at {state.url}")
    say(f"queues: {state.queues_page}")
    say(f"login:  user monitor, password in {_credentials('monitor')}")
    next_command("fedmq hub add-node NAME", "fedmq orchestrator start")


@app.command()
def down() -> None:
    """Stop the hub's broker; members, queues and messages stay."""
    from fedmq.hub import lifecycle
    from fedmq.settings import read_settings

    lifecycle.down(read_settings().hub)
    say("the hub is down")
    next_command("fedmq hub up")


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show whether the hub runs, where, and who its members are."""
    from fedmq.cli.expiry import find_broker_ending, say_ending
    from fedmq.cli.rosters import find_hub_mark
    from fedmq.hub import lifecycle
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    folder = read_settings().hub
    state, mark = lifecycle.status(folder), find_hub_mark(Hub(folder))
    if as_json:
        show_json(
            {
                "running": state.is_running,
                "url": state.url,
                "admin_url": state.admin_url,
                "members": {member.name: member.role for member in state.members},
                "roster": mark,
                "broker_certified_until": state.certified_until,
            }
        )
        return
    show(f"hub      {'running' if state.is_running else 'down'}")
    if state.url:
        show(f"broker   {state.url}")
        show(f"queues   {state.queues_page}")
    if mark is not None:
        show(f"roster   {mark}")
    if state.certified_until is not None:
        show(f"tls      certificate {_until(state.certified_until)}; fedmq hub up renews it")
    if state.members:
        show("")
        show_table(
            ("member", "role", "certificate"),
            [(one.name, one.role, _until(one.certified_until)) for one in state.members],
        )
    if state.certified_until is not None:
        say_ending(find_broker_ending(state.certified_until, now=time.time()))
    next_command("fedmq status" if state.is_running else "fedmq hub up")


@app.command("add-node")
def add_node(name: Name) -> None:
    """Invite a node: its queues stand from now on; the token that is printed lets it join, once."""
    _invite(name, "node")
    next_command(f"at the hospital: fedmq node join {name}.token", "then here: fedmq hub joins")


@app.command("add-researcher")
def add_researcher(name: Name) -> None:
    """Invite a researcher: the token that is printed lets them join, once."""
    _invite(name, "researcher")
    next_command(f"at the researcher's: fedmq join {name}.token", "then here: fedmq hub joins")


@app.command()
def joins(*, as_json: Json = False) -> None:
    """List who asks to be admitted, or for new keys, with the fingerprints of these."""
    _tidy()
    asked = _requests().waiting()
    if as_json:
        show_json(
            {
                "joins": [
                    {
                        "name": one.request.name,
                        "role": one.request.role,
                        "asks": one.wish,
                        "fingerprint": one.fingerprint,
                    }
                    for one in asked
                ]
            }
        )
        return
    if not asked:
        say("nobody asks to be admitted")
        next_command("fedmq hub status")
        return
    show_table(
        ("name", "role", "asks", "fingerprint"),
        [(one.request.name, one.request.role, one.wish, one.fingerprint) for one in asked],
    )
    say("have each site read its fingerprint out to you, by telephone, before you admit it")
    next_command(f"fedmq hub admit {asked[0].request.name}")


@app.command()
def admit(
    name: Name,
    *,
    fingerprint: Annotated[
        str, typer.Option(help="What the site read out; asked for, if it is not given.")
    ] = "",
    request: Annotated[
        Path | None, typer.Option(help="The file that the site wrote, instead of the broker.")
    ] = None,
    answer: Annotated[
        Path | None, typer.Option(help="Write the answer to this file too, for the site.")
    ] = None,
    stolen: Annotated[
        bool, typer.Option(help="Of new keys: nothing that the earlier ones sign counts any more.")
    ] = False,
) -> None:
    """Let somebody in who asked, or have its new keys, once their fingerprint was read out."""
    from fedmq.errors import ConfigurationError
    from fedmq.hub.files import replace_file
    from fedmq.hub.requests import Asked, read_request
    from fedmq.security.joining import JoinRequest
    from fedmq.security.rotation import RotationRequest

    enrolment, requests, rotations = _enrolment(), _requests(), _rotations()
    # What is named is admitted, whatever somebody else may have sent to the broker in that name.
    asking = requests.waiting() if request is None else (Asked(request=read_request(request)),)
    waiting = [one for one in asking if one.request.name == name]
    known = None if waiting else enrolment.admitted(name)
    if known is not None:
        say(f"{name} was admitted before; it has the same answer again")
        waiting.append(known)
    if not waiting:
        raise ConfigurationError(
            f"{name} has not asked to be admitted",
            why="nothing from it is at the broker or here",
            fix="let the site join with its token, or name the file with --request",
        )
    asked = waiting[-1]
    if isinstance(asked.request, RotationRequest):
        say(f"{name} has   {rotations.present(name)}")
        say(f"it asks for {asked.fingerprint}")
    else:
        say(f"{name} shows {asked.fingerprint}")
    given = fingerprint or typer.prompt("type what the site reads out", err=True)
    if isinstance(asked.request, RotationRequest):
        signed = rotations.admit(asked.request, given, are_stolen=stolen)
        text, done = signed.notice.model_dump_json(), f"{name} has other keys"
    else:
        text = enrolment.admit(asked.request, given).model_dump_json()
        done = f"{name} is in the federation"
    if answer is not None:
        replace_file(answer, text)
        say(f"the answer for the site is in {typed(answer)}")
    say(f"{done}; roster {_roster_version()}, its hash:")
    say(_roster_hash())
    if isinstance(asked.request, JoinRequest) and request is None:
        _say_whether_fetched(enrolment, name)
    next_command("fedmq hub status")


@app.command()
def revoke(
    name: Name,
    *,
    reason: Annotated[str, typer.Option(help="For the roster, which all members read.")] = "",
) -> None:
    """Put a member out: it is cut off, its queues are gone, and what it signs counts no more."""
    _enrolment().revoke(name, reason)
    say(f"{name} is out; roster {_roster_version()} says so")
    next_command("fedmq hub status", "fedmq dead")


@app.command()
def renew(
    name: Name,
    *,
    output: Annotated[
        Path | None, typer.Option(help="Where it goes; default NAME.pem, or NAME.password")
    ] = None,
) -> None:
    """Make a new certificate for a member, or a sealed new password where the broker wants one.

    Neither is a secret: send it by any way.
    """
    from fedmq.hub.files import replace_file

    text = _enrolment().renew(name)
    if not text:
        say(f"{name} has a new password, in {_credentials(name)}; what runs uses it by itself")
        return
    is_password = not text.startswith("-----BEGIN")
    path = output or Path(f"{name}.{'password' if is_password else 'pem'}")
    replace_file(path, text)
    if is_password:
        say(f"a new password for {name}, which only {name} reads, is in {typed(path)}")
        say(f"the one before counts no more: {name} is off until it has taken this one")
    else:
        say(f"a new certificate for {name}, good for a year, is in {typed(path)}")
    next_command(f"there: fedmq node renew {path.name}, or fedmq renew {path.name}")


@app.command()
def fingerprint() -> None:
    """Print the federation's fingerprint, which you read out to sites that join."""
    from fedmq.hub.members import Hub
    from fedmq.security.roster import governance_fingerprint
    from fedmq.settings import read_settings

    trust = Hub(read_settings().hub).authority.trust()
    show(governance_fingerprint(bytes.fromhex(trust.governance)))


def _until(at: float) -> str:
    """Return what a table says of the end of a certificate."""
    from fedmq.cli.expiry import is_near

    if not at:
        return "-"
    day = time.strftime("%Y-%m-%d", time.localtime(at))
    return f"until {day}" + (", renew it" if is_near(at, now=time.time()) else "")


def _invite(name: str, role: str) -> None:
    from fedmq.errors import ConfigurationError
    from fedmq.hub.files import replace_file
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings
    from fedmq.types import Role

    settings = read_settings()
    register = Hub(settings.hub).register()
    if settings.broker_url is not None and register.external is None:
        # It would become a member at the private broker that nobody wants here.
        raise ConfigurationError(
            f"the hub cannot add {name} yet",
            why="it is not up on the broker that FEDMQ_BROKER_URL names",
            fix="fedmq hub up",
        )
    token = _enrolment().invite(name, Role(role))
    path = Path(f"{name}.token")
    replace_file(path, token.text + "\n")
    say(f"{name} may join as a {role}, once and within a day, with the token in {typed(path)}")
    say("give it by a way that keeps it secret, and have the fingerprint of the keys read out")
    show(token.text)


def _enrolment() -> "Enrolment":
    from fedmq.errors import ConfigurationError
    from fedmq.hub.enrolment import Enrolment
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    folder = read_settings().hub
    hub = Hub(folder)
    if not hub.exists:
        raise ConfigurationError(
            "there is no hub yet", why=f"{folder} holds no members", fix="fedmq hub init NAME"
        )
    hub.authority.certificates()  # which may be on another machine
    enrolment = Enrolment(hub, folder)
    enrolment.tidy()
    return enrolment


def _tidy() -> None:
    """No invitation that is over has a login any more; the authority may be away."""
    from fedmq.hub.enrolment import Enrolment
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    folder = read_settings().hub
    Enrolment(Hub(folder), folder).tidy()


def _say_whether_fetched(enrolment: "Enrolment", name: str) -> None:
    """Say whether the site has its answer; one that waits for it has it in a moment."""
    import time

    deadline = time.monotonic() + FETCHED_WITHIN_S
    while not (is_over := enrolment.is_over(name)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if is_over:
        say(f"{name} has the answer, and its token is void")
    else:
        say(f"{name} has not fetched the answer yet: it does with the same command as before")


def _requests() -> "Requests":
    from fedmq.hub.members import Hub
    from fedmq.hub.requests import Requests
    from fedmq.settings import read_settings

    folder = read_settings().hub
    return Requests(Hub(folder), folder)


def _rotations() -> "Rotations":
    from fedmq.hub.members import Hub
    from fedmq.hub.rotations import Rotations
    from fedmq.settings import read_settings

    folder = read_settings().hub
    return Rotations(Hub(folder), folder)


def _roster_version() -> int:
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    return Hub(read_settings().hub).authority.roster().version


def _roster_hash() -> str:
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    return Hub(read_settings().hub).authority.signed_roster().fingerprint


def _credentials(name: str) -> str:
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    return typed(Hub(read_settings().hub).credentials_path(name))
