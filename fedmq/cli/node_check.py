"""The command that tells a node's operator what is reachable, what is not, and whom to ask."""

import os
from typing import Final

import typer

from fedmq.cli.console import FAILED, Json, next_command, say, show, show_json

_MARKS: Final = {"ok": "✓", "failed": "✗", "not_tried": "-"}
_UNREAD: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def check(*, as_json: Json = False) -> None:
    """Look at the way to the broker and at this machine; disturb nothing, also while it runs."""
    from fedmq import __version__
    from fedmq.cli.node_home import open_membership, require_node
    from fedmq.hub.proxies import proxy_of
    from fedmq.node.check import State, make_letter
    from fedmq.node.check import check as run
    from fedmq.node.check_steps import Subject, name_of_machine, steps_of
    from fedmq.settings import read_settings

    settings, folder, membership = read_settings(), require_node(), open_membership()
    login = membership.login(
        f"fedmq {__version__}",
        heartbeat_s=settings.heartbeat_s,
        allows_tls_1_2=settings.tls_1_2,
        proxy=proxy_of(settings),
    )
    subject = Subject(
        folder=folder,
        membership=membership,
        login=login,
        is_uncontained_allowed=settings.allow_uncontained,
    )
    found = []
    for one in run(steps_of(subject)):
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
        unread = [name for name in _UNREAD if os.environ.get(name)]
        if unread and login.proxy is None:
            say(f"{unread[0]} is set and is not read: FEDMQ_PROXY names the proxy, if there is one")
        if not is_ok:
            show("")
            for line in letter:
                show(line)
        next_command("fedmq node start" if is_ok else "fedmq node check")
    if not is_ok:
        raise typer.Exit(FAILED)
