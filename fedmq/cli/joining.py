"""Joining a federation with a token: what nodes and researchers have in common."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import next_command, say, show, typed

if TYPE_CHECKING:
    from fedmq.hub.joiner import Joiner
    from fedmq.security.joining import JoinRequest, JoinToken

Token = Annotated[str, typer.Argument(help="The token, or the file that holds it")]
Fingerprint = Annotated[
    str, typer.Option(help="The federation's, as the hub's operator read it out; asked for if not.")
]
RequestFile = Annotated[
    Path | None, typer.Option(help="Write the request to this file instead of the broker.")
]
AnswerFile = Annotated[
    Path | None, typer.Option(help="Read the hub's answer from this file instead of the broker.")
]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for the hub's operator.")]


def join(  # noqa: PLR0913 - what the command takes
    role: str,
    credentials: Path,
    token: str,
    *,
    fingerprint: str,
    request_file: Path | None,
    answer_file: Path | None,
    wait_s: float,
) -> bool:
    """Return whether this machine is a member now; if not, the same command goes on later."""
    from fedmq.hub.files import replace_file
    from fedmq.hub.joiner import Joiner, read_answer

    invitation = read_invitation(token, role)
    joiner = Joiner(credentials)
    request = joiner.begin(invitation)
    _compare(invitation, fingerprint)
    say(f"the fingerprint of this {role}'s keys; read it out to the hub's operator:")
    show(request.public.fingerprint)
    if request_file is not None:
        replace_file(request_file, request.model_dump_json())
        say(f"the request is in {typed(request_file)}; bring it to the hub's operator")
        return False
    if answer_file is not None:
        joiner.finish(invitation, read_answer(_read(answer_file)))
        return True
    return _ask(joiner, invitation, request, wait_s)


def renew(credentials: Path, file: Path) -> None:
    """The member of these credentials has the new certificate, or the new password, of a file."""
    import time

    from fedmq.hub.membership import read_membership

    until = read_membership(credentials).renew(_read(file))
    if until is None:
        say("the password is changed; a program that runs uses it when it next connects")
        return
    say(f"the certificate is good until {time.strftime('%Y-%m-%d', time.localtime(until))}")


def _ask(joiner: "Joiner", token: "JoinToken", request: "JoinRequest", wait_s: float) -> bool:
    from fedmq import __version__
    from fedmq.errors import ConfigurationError
    from fedmq.hub.joiner import read_answer
    from fedmq.hub.logins import login_of
    from fedmq.settings import read_settings
    from fedmq.transport.rabbitmq_join import ask_to_join

    settings = read_settings()
    login = login_of(joiner.way(token), settings, f"fedmq {__version__}")
    say("asking the hub; this goes on when its operator has admitted you (Ctrl-C: later)")

    def take(body: bytes) -> bool:
        try:
            joiner.finish(token, read_answer(body))
        except ConfigurationError as error:
            say(f"an answer was thrown away: {error}; waiting for the hub's own")
            return False
        return True

    has_come = ask_to_join(
        login,
        token.name,
        request.model_dump_json().encode(),
        take=take,
        wait_s=wait_s,
    )
    if not has_come:
        say("no answer yet; the request waits at the broker")
        next_command("the same command again, within a day of the token")
    return has_come


def read_invitation(token: str, role: str) -> "JoinToken":
    """Return what a token says, or the file that holds it.

    Raises:
        ConfigurationError: it is none, or invites to another role.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.security.joining import read_token

    path = Path(token)
    is_file = len(token) < 256 and path.is_file()  # noqa: PLR2004 - a token is no file name
    found = read_token(path.read_text(errors="replace") if is_file else token)
    if found.role != role:
        raise ConfigurationError(
            f"the token is not a {role}'s",
            why=f"it invites the {found.role} {found.name}",
            fix=f"ask the hub's operator for: fedmq hub add-{role} NAME",
        )
    return found


def _compare(token: "JoinToken", given: str) -> None:
    """Return if a person has compared the federation's fingerprint."""
    from fedmq.errors import ConfigurationError
    from fedmq.hub.joiner import federation_fingerprint

    shown = federation_fingerprint(token)
    say(f"{token.name} is about to join {token.federation}, whose fingerprint by the token is")
    say(shown)
    said = given or typer.prompt("type what the hub's operator reads out to you", err=True)
    if "".join(said.split()).lower() != shown.replace(" ", ""):
        raise ConfigurationError(
            f"{token.name} does not join",
            why="the fingerprint that was given is not that of the token's federation",
            fix="ask the hub's operator for it again: fedmq hub fingerprint; if they differ still, "
            "the token is not theirs",
        )


def _read(path: Path) -> str:
    from fedmq.errors import ConfigurationError

    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the file {path} cannot be read",
            why=str(error),
            fix="name the file that the hub's operator sent",
        ) from error
