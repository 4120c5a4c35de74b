"""The roster at a member: shown, and taken where a person has to look first."""

from typing import TYPE_CHECKING

from fedmq.cli.console import next_command, say, show_json, show_table

if TYPE_CHECKING:
    from fedmq.hub.keyring import Keyring
    from fedmq.security.roster import Roster


def print_roster(keyring: "Keyring", *, as_json: bool) -> None:
    """Print who is in the federation, and what would be otherwise in a roster that waits."""
    roster = keyring.roster(keyring.signed_roster())
    held = keyring.held_roster()
    waiting = None if held is None else keyring.roster(held)
    if as_json:
        show_json({"roster": _document(roster), "held": waiting and _document(waiting)})
        return
    _print(roster)
    if waiting is None:
        say(f"roster {roster.version} of {roster.federation}")
        next_command("fedmq node status")
        return
    say(f"roster {waiting.version} waits: in it an orchestrator has keys that are not known here")
    _print(waiting)
    say("ask the hub's operator, by telephone, to read the orchestrator's fingerprint out to you")
    next_command("fedmq node roster --accept")


def accept_held(keyring: "Keyring") -> None:
    """Take the roster that waits, since the operator says so.

    Raises:
        ConfigurationError: none waits.
    """
    from fedmq.errors import ConfigurationError

    held = keyring.held_roster()
    if held is None:
        raise ConfigurationError(
            "no roster waits for your word",
            why="the one in use is the newest that came",
            fix="fedmq node roster",
        )
    keyring.roster(held)  # the governance's signature, once more
    keyring.write_roster(held)
    say("the roster is taken; a node that runs has it within a second")
    next_command("fedmq node roster")


def _print(roster: "Roster") -> None:
    show_table(
        ("name", "role", "fingerprint"),
        [(one.name, one.role, one.public.fingerprint) for one in roster.members],
    )


def _document(roster: "Roster") -> dict[str, object]:
    return {
        "federation": roster.federation,
        "version": roster.version,
        "members": [
            {"name": one.name, "role": one.role, "fingerprint": one.public.fingerprint}
            for one in roster.members
        ],
        "revoked": [one.name for one in roster.revoked],
    }
