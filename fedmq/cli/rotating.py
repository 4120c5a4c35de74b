"""New keys for a member: what nodes, researchers and the orchestrator have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import next_command, say, show, typed

if TYPE_CHECKING:
    from fedmq.hub.membership import Membership

RequestFile = Annotated[
    Path | None, typer.Option(help="Write the request to this file instead of the broker.")
]
AnswerFile = Annotated[
    Path | None, typer.Option(help="Take the roster that the hub's operator wrote to this file.")
]


Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Make others in the place of new keys that wait, if any do."),
]


def rotate(
    credentials: Path,
    *,
    request_file: Path | None,
    answer_file: Path | None,
    is_fresh: bool = False,
) -> None:
    """The hub is asked for other keys of the member of these credentials, or has answered."""
    from fedmq.hub.files import replace_file
    from fedmq.hub.membership import read_membership
    from fedmq.security.rotation import make_rotation_request

    membership = read_membership(credentials)
    if answer_file is not None:
        _take(membership, answer_file)
        return
    name, wire = membership.credentials.user, membership.wire()  # which settles what is over
    present, upcoming = wire.identity, membership.keyring.upcoming()
    if upcoming is None or is_fresh:
        say(f"new keys for {name} are made, and wait beside those that it has")
    else:
        say(f"new keys for {name} wait already; the hub is asked for them once more")
    present, upcoming = membership.keyring.prepare(is_fresh=is_fresh)
    request = make_rotation_request(present, upcoming).model_dump_json()
    say("the fingerprint of the new keys; read it out to the hub's operator:")
    show(upcoming.public.fingerprint)
    if request_file is not None:
        replace_file(request_file, request)
        say(f"the request is in {typed(request_file)}; bring it to the hub's operator")
    else:
        _ask(membership, request)
        say("the request waits for the hub's operator; it is no secret")
    say("until they are admitted those that it has are good; then it uses these by itself")
    next_command(f"at the hub: fedmq hub joins, then fedmq hub admit {name}")


def _ask(membership: "Membership", request: str) -> None:
    from fedmq import __version__
    from fedmq.hub.logins import login_of
    from fedmq.settings import read_settings
    from fedmq.transport.rabbitmq_join import ask

    settings = read_settings()
    login = login_of(membership, settings, f"fedmq {__version__}")
    ask(login, membership.credentials.user, request.encode())


def _take(membership: "Membership", file: Path) -> None:
    """The member has the roster of a file, and the keys that it names."""
    from pydantic import ValidationError

    from fedmq.errors import ConfigurationError, ProtocolError
    from fedmq.messages.notices import RosterNotice

    wire = membership.wire()
    try:
        wire.learn(RosterNotice.model_validate_json(file.read_bytes()))
    except (OSError, ValidationError, ProtocolError) as error:
        raise ConfigurationError(
            "the hub's answer cannot be used",
            why=str(error) if isinstance(error, ProtocolError) else f"{file} holds no roster",
            fix="ask the hub's operator for the file again: fedmq hub admit NAME --answer FILE",
        ) from error
    say(f"roster {wire.version} is taken; the fingerprint of the keys in use:")
    show(wire.identity.public.fingerprint)
