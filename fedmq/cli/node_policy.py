"""Commands for the policy of a node: what its operator allows beside plans and data."""

import typer

from fedmq.cli.console import Json, next_command, say, show, show_json, typed
from fedmq.cli.node_home import policy_path, read_own_policy

_TITLE = 20
"""Characters of a line's title."""

app = typer.Typer(no_args_is_help=True, help="What this node allows beside plans and data.")


@app.command("show")
def show_policy(*, as_json: Json = False) -> None:
    """Print what is in force, or will be once the node reads the file: within a second."""
    from fedmq.node.policy_file import table_of

    table = table_of(read_own_policy())
    if as_json:
        show_json({"policy": table})
        return
    for key, value in table.items():
        show(f"{key:<{_TITLE}}{_word(value)}")
    if not policy_path().exists():
        say(f"there is no {typed(policy_path())}: these are the defaults")
    next_command("fedmq node policy check")


@app.command("check")
def check_policy(*, as_json: Json = False) -> None:
    """Say what is wrong with the policy file; nothing, if nothing is."""
    read_own_policy()
    path, is_there = typed(policy_path()), policy_path().exists()
    if as_json:
        show_json({"path": path, "is_there": is_there, "is_usable": True})
        return
    say(f"{path} can be used" if is_there else f"{path} is not there; defaults hold")
    next_command("fedmq node policy show")


def _word(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "true" if value else "false"
        case list():
            return "; ".join(map(str, value)) or "-"
        case _:
            return str(value)
