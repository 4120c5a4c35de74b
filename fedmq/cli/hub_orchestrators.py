"""Commands of who runs the hub: orchestrators beside the one that every hub has."""

from fedmq.cli import hub_members
from fedmq.cli.console import next_command, say, show, typed


def add_orchestrator(name: hub_members.Name) -> None:
    """Add an orchestrator; its keys and credentials are made here, in the hub's folder.

    Nodes and researchers who are members wait for their operators' word before they work with it.
    """
    from fedmq.hub import orchestrators

    hub = hub_members.open_hub(name)
    if orchestrators.add_orchestrator(hub, name):
        _say_added(name)
        return
    say(f"{name} is an orchestrator of this federation already; nothing has changed")
    path = hub.credentials_path(name)
    if path.exists():
        say(f"its credentials are {typed(path)}, with its keys beside them")
        next_command("fedmq hub status", _start(name))
    else:
        say("its credentials are not in the hub's folder: they were moved to where it runs")
        next_command("fedmq hub status", f"if they are lost: fedmq hub revoke {name}")


def _say_added(name: str) -> None:
    path = hub_members.credentials_of(name)
    say(f"{name} is in the federation; roster {hub_members.roster_version()}, its hash:")
    say(hub_members.roster_hash())
    say("the fingerprint of its keys; read it out to nodes and researchers, by telephone:")
    show(hub_members.fingerprint_of(name))
    say(f"its credentials are {path}; its keys are beside them, in the folder {name}.keys")
    say(
        "to run it on another machine, move both there, by a way that keeps them secret; leave none"
    )
    say("members hold that roster, and all later ones, until a person there has agreed to it;")
    say("who is revoked in one that they hold is out there all the same, at once")
    next_command(
        _start(name),
        "at each node: fedmq node roster, then fedmq node roster --accept",
        "at each researcher's: fedmq roster, then fedmq roster --accept",
    )


def _start(name: str) -> str:
    path = hub_members.credentials_of(name)
    return f"fedmq orchestrator start --credentials {path}"
