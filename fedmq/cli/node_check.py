"""The command that tells a node's operator what is reachable, what is not, and whom to ask."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fedmq.cli.console import FAILED, Json, next_command, say, show, show_json

if TYPE_CHECKING:
    from fedmq.hub.membership import Membership
    from fedmq.node.check import Step
    from fedmq.node.check_steps import Subject
    from fedmq.transport.rabbitmq import Login

Token = Annotated[
    str, typer.Argument(help="The token, or the file that holds it, before this machine has joined")
]
_MARKS: Final = {"ok": "✓", "failed": "✗", "not_tried": "-"}
_UNREAD: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def check(token: Token = "", *, as_json: Json = False) -> None:
    """Look at the way to the broker and at this machine; disturb nothing, also while it runs.

    With a token, before joining: the token stays good.
    """
    from fedmq.settings import read_settings

    home = read_settings().node / "credentials.toml"
    if not token:
        from fedmq.cli.node_home import open_membership, require_node
        from fedmq.node.check_steps import steps_of

        require_node(or_else="fedmq node check TOKEN looks at the way to the broker before joining")
        subject = _subject(open_membership())
        _run(subject.login, steps_of(subject), as_json=as_json, after=("start", "check"))
        return

    from fedmq.cli.joining import read_invitation
    from fedmq.errors import ConfigurationError
    from fedmq.hub.joiner import Joiner
    from fedmq.node.check_steps import steps_before_joining

    if home.exists():
        raise ConfigurationError(
            "this machine is a node already",
            why=f"{home} holds its credentials",
            fix="fedmq node check, without a token",
        )
    invitation = read_invitation(token, "node")
    # In a folder of its own: a joining that is under way goes on with the keys that it has.
    with tempfile.TemporaryDirectory(prefix="fedmq-check-") as folder:
        joiner = Joiner(Path(folder) / "credentials.toml")
        joiner.begin(invitation)
        subject = _subject(joiner.way(invitation))
        steps = steps_before_joining(subject, invitation)
        _run(subject.login, steps, as_json=as_json, after=("join TOKEN", "check TOKEN"))


def _subject(membership: "Membership") -> "Subject":
    from fedmq import __version__
    from fedmq.hub.logins import login_of
    from fedmq.node.check_steps import Subject
    from fedmq.settings import read_settings

    settings = read_settings()
    login = login_of(membership, settings, f"fedmq {__version__}")
    return Subject(
        folder=settings.node,
        membership=membership,
        login=login,
        is_uncontained_allowed=settings.allow_uncontained,
    )


def _run(
    login: "Login", steps: "tuple[Step, ...]", *, as_json: bool, after: tuple[str, str]
) -> None:
    from fedmq.node.check import OF_THE_NETWORK, State, make_letter
    from fedmq.node.check import check as run
    from fedmq.node.check_steps import name_of_machine

    found = []
    for one in run(steps):
        found.append(one)
        if as_json:
            continue
        show(f"{_MARKS[one.state]} {one.step:<14}{one.words}")
        for title, text in (("why", one.why), ("fix", one.fix)):
            if text:
                show(f"    {title}: {text}")
    is_ok = all(one.state is State.OK for one in found)
    letter = make_letter(name_of_machine(), login)
    if as_json:
        show_json({"is_ok": is_ok, "steps": found, "letter": letter})
    else:
        _say_what_is_not_read(login)
        if any(one.state is State.FAILED and one.step in OF_THE_NETWORK for one in found):
            show("")
            for line in letter:
                show(line)
        next_command(f"fedmq node {after[0] if is_ok else after[1]}")
    if not is_ok:
        raise typer.Exit(FAILED)


def _say_what_is_not_read(login: "Login") -> None:
    from fedmq.settings import read_settings

    unread = [name for name in _UNREAD if os.environ.get(name)]
    if unread and login.proxy is None:
        say(f"{unread[0]} is set and is not read: FEDMQ_PROXY names the proxy, if there is one")
    if read_settings().broker_authority is not None:
        say("FEDMQ_BROKER_AUTHORITY is set and is not used here: the token brought who vouches")
        say("for the broker; a bundle of other authorities is named where the hub runs")
