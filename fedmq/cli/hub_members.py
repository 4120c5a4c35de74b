"""Commands of who runs the hub: its members, who asks to be one, and who is out."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, show_table, typed

if TYPE_CHECKING:
    from fedmq.hub.enrolment import Enrolment
    from fedmq.hub.members import Hub
    from fedmq.hub.requests import Requests
    from fedmq.hub.rotations import Rotations

FETCHED_WITHIN_S = 3.0
"""A site that waits for its answer has it by then."""
Name = Annotated[str, typer.Argument(help="a-z, 0-9 and -, such as chu-lyon")]


def add_node(name: Name) -> None:
    """Invite a node: its queues stand from now on; the token that is printed lets it join, once."""
    _invite(name, "node")
    next_command(f"at the hospital: fedmq node join {name}.token", "then here: fedmq hub joins")


def add_researcher(name: Name) -> None:
    """Invite a researcher: the token that is printed lets them join, once."""
    _invite(name, "researcher")
    next_command(f"at the researcher's: fedmq join {name}.token", "then here: fedmq hub joins")


def joins(*, as_json: Json = False) -> None:
    """List who asks to be admitted, or for new keys, with the fingerprints of these."""
    tidy()
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
    is_elsewhere = isinstance(asked.request, RotationRequest) and _is_elsewhere(name)
    if is_elsewhere:
        answer = answer or Path(f"{name}.roster")
    if answer is not None:
        replace_file(answer, text)
        say(f"the answer for the site is in {typed(answer)}")
    say(f"{done}; roster {roster_version()}, its hash:")
    say(roster_hash())
    if isinstance(asked.request, JoinRequest) and request is None:
        _say_whether_fetched(enrolment, name)
    if is_elsewhere and answer is not None:
        _say_what_is_to_move(name, answer, is_stolen=stolen)
        return
    next_command("fedmq hub status")


def revoke(
    name: Name,
    *,
    reason: Annotated[str, typer.Option(help="For the roster, which all members read.")] = "",
) -> None:
    """Put a member out: it is cut off, its queues are gone, and what it signs counts no more."""
    _enrolment().revoke(name, reason)
    say(f"{name} is out; roster {roster_version()} says so")
    next_command("fedmq hub status", "fedmq dead")


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
        what = "certificate" if _hub().register().external is None else "password"
        say(f"{name} has a new {what}, beside {credentials_of(name)}; what runs uses it by itself")
        next_command("fedmq hub status")
        return
    is_password = not text.startswith("-----BEGIN")
    path = output or Path(f"{name}.{'password' if is_password else 'pem'}")
    replace_file(path, text)
    if is_password:
        say(f"a new password for {name}, which only {name} reads, is in {typed(path)}")
        say(f"the one before counts no more: {name} is off until it has taken this one")
    else:
        say(f"a new certificate for {name}, good for a year, is in {typed(path)}")
    if _hub().is_own(name):
        next_command(f"there: fedmq orchestrator renew {path.name} --credentials {name}.toml")
    else:
        next_command(f"there: fedmq node renew {path.name}, or fedmq renew {path.name}")


def fingerprint() -> None:
    """Print the federation's fingerprint, which you read out to sites that join."""
    from fedmq.security.roster import governance_fingerprint

    trust = _hub().authority.trust()
    show(governance_fingerprint(bytes.fromhex(trust.governance)))


def _invite(name: str, role: str) -> None:
    from fedmq.hub.files import replace_file
    from fedmq.types import Role

    _require_broker(name)
    token = _enrolment().invite(name, Role(role))
    path = Path(f"{name}.token")
    replace_file(path, token.text + "\n")
    say(f"{name} may join as a {role}, once and within a day, with the token in {typed(path)}")
    say("give it by a way that keeps it secret, and have the fingerprint of the keys read out")
    show(token.text)


def open_hub(newcomer: str) -> "Hub":
    """Return the hub, to which somebody can be added now.

    Raises:
        ConfigurationError: there is none yet, or it is not up on its broker; or its authority is
            on another machine.
    """
    _require_broker(newcomer)
    _enrolment()
    return _hub()


def _require_broker(newcomer: str) -> None:
    """Return if the hub is not about to go to another broker.

    Who is added before would become a member at the private one that nobody wants there.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.settings import read_settings

    if read_settings().broker_url is not None and _hub().register().external is None:
        raise ConfigurationError(
            f"the hub cannot add {newcomer} yet",
            why="it is not up on the broker that FEDMQ_BROKER_URL names",
            fix="fedmq hub up",
        )


def _hub() -> "Hub":
    from fedmq.hub.members import Hub
    from fedmq.settings import read_settings

    return Hub(read_settings().hub)


def _enrolment() -> "Enrolment":
    from fedmq.errors import ConfigurationError
    from fedmq.hub.enrolment import Enrolment
    from fedmq.settings import read_settings

    folder, hub = read_settings().hub, _hub()
    if not hub.exists:
        raise ConfigurationError(
            "there is no hub yet", why=f"{folder} holds no members", fix="fedmq hub init NAME"
        )
    hub.authority.certificates()  # which may be on another machine
    enrolment = Enrolment(hub, folder)
    enrolment.tidy()
    return enrolment


def tidy() -> None:
    """No invitation that is over has a login any more; the authority may be away."""
    from fedmq.hub.enrolment import Enrolment
    from fedmq.settings import read_settings

    Enrolment(_hub(), read_settings().hub).tidy()


def _say_whether_fetched(enrolment: "Enrolment", name: str) -> None:
    """Say whether the site has its answer; one that waits for it has it in a moment."""
    deadline = time.monotonic() + FETCHED_WITHIN_S
    while not (is_over := enrolment.is_over(name)) and time.monotonic() < deadline:
        time.sleep(0.2)
    if is_over:
        say(f"{name} has the answer, and its token is void")
    else:
        say(f"{name} has not fetched the answer yet: it does with the same command as before")


def _requests() -> "Requests":
    from fedmq.hub.requests import Requests
    from fedmq.settings import read_settings

    return Requests(_hub(), read_settings().hub)


def _rotations() -> "Rotations":
    from fedmq.hub.rotations import Rotations
    from fedmq.settings import read_settings

    return Rotations(_hub(), read_settings().hub)


def _is_elsewhere(name: str) -> bool:
    """Return whether an orchestrator's files were moved to another machine."""
    hub = _hub()
    return hub.is_own(name) and not hub.credentials_path(name).exists()


def _say_what_is_to_move(name: str, answer: Path, *, is_stolen: bool) -> None:
    """Say what an orchestrator is brought whose files are on another machine."""
    say(f"it runs elsewhere, where it may not hear of that roster: take {typed(answer)} there")
    if is_stolen and _hub().register().external is None:
        keys = _hub().credentials_path(name).with_suffix(".keys")
        say("it has another certificate too, and gets in with the earlier one no more:")
        say(
            f"move certificate.pem and key.pem from {typed(keys)} to its keys, and keep them secret"
        )
    next_command(
        f"there: fedmq orchestrator rotate --answer {answer.name} --credentials {name}.toml"
    )


def fingerprint_of(name: str) -> str:
    """Return the fingerprint of the keys of a member; empty where it has none."""
    return _rotations().present(name)


def roster_version() -> int:
    """Return the version of the newest roster."""
    return _hub().authority.roster().version


def roster_hash() -> str:
    """Return the beginning of the hash of the newest roster."""
    return _hub().authority.signed_roster().fingerprint


def credentials_of(name: str) -> str:
    """Return where the credentials of one of the hub's own members lie, as they are typed."""
    return typed(_hub().credentials_path(name))
