"""The roster at a member: shown, and taken where a person has to look first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fedmq.cli.console import next_command, say, say_long, show_json, show_table

if TYPE_CHECKING:
    from fedmq.hub.keyring import Keyring
    from fedmq.hub.members import Hub
    from fedmq.security.roster import Enrolled, Roster, SignedRoster

Accept = Annotated[bool, typer.Option("--accept", help="Take the one that waits.")]
Fingerprints = Annotated[
    list[str] | None,
    typer.Option(
        "--fingerprint",
        help="To take it: an orchestrator's, as the hub's operator read it out; again for another."
        " Asked for, if it is not given.",
    ),
]


def show_or_accept(
    keyring: "Keyring",
    command: str,
    otherwise: str,
    *,
    accept: bool,
    fingerprints: Sequence[str] | None,
    as_json: bool,
) -> None:
    """Show the roster by which somebody works, or take the one that waits.

    `command` is what was typed without its options; `otherwise` is next where nothing waits.

    Raises:
        ConfigurationError: none waits that could be taken, or another one than was compared.
    """
    if accept:
        accept_held(keyring, command, fingerprints or ())
    else:
        print_roster(keyring, command, otherwise, as_json=as_json)


def say_if_held(keyring: "Keyring", command: str) -> None:
    """Say that a roster waits, if one does: what it adds or changes does not count yet."""
    if keyring.held_roster() is not None:
        say("a newer roster waits for your word: in it an orchestrator has keys that are not known")
        say(f"  fix: {command}")


def print_roster(keyring: "Keyring", command: str, otherwise: str, *, as_json: bool) -> None:
    """Print who is in the federation, and what is otherwise in a roster that waits."""
    signed, held = keyring.rosters()
    roster = keyring.roster(signed)
    if as_json:
        held_document = None
        if held is not None:
            changes = _changes(roster, keyring.roster(held), keyring.believed(roster, held))
            held_document = {**_document(keyring.roster(held), held), "changes": changes}
        show_json({"roster": _document(roster, signed), "held": held_document})
        return
    _print(roster)
    say(f"roster {roster.version} of {roster.federation}; its hash, which the hub shows too:")
    say(signed.fingerprint)
    if held is None:
        next_command(otherwise)
        return
    waiting = keyring.roster(held)
    say(f"roster {waiting.version} waits: in it an orchestrator has keys that are not known here")
    say(f"its hash: {held.fingerprint}")
    _print(waiting)
    _say_changes(_changes(roster, waiting, keyring.believed(roster, held)))
    say("ask the hub's operator, by telephone, to read the orchestrator's fingerprint out to you")
    next_command(f"{command} --accept")


def accept_held(keyring: "Keyring", command: str, given: Sequence[str]) -> None:
    """Show what the roster that waits changes; take it once its orchestrators were compared.

    Raises:
        ConfigurationError: none waits, another one does by now, or a fingerprint is another one.
    """
    from fedmq.errors import ConfigurationError
    from fedmq.security.roster import unproven
    from fedmq.types import Role

    signed, held = keyring.rosters()
    if held is None:
        raise ConfigurationError(
            "no roster waits for your word",
            why="the one in use is the newest that came",
            fix=command,
        )
    roster, waiting = keyring.roster(signed), keyring.roster(held)
    say(f"roster {waiting.version} waits; its hash: {held.fingerprint}")
    _say_changes(_changes(roster, waiting, keyring.believed(roster, held)))
    for stranger in unproven(roster, waiting, Role.ORCHESTRATOR):
        _compare(stranger, roster.find(stranger.name), given)
    if keyring.held_roster() != held:
        raise ConfigurationError(
            f"roster {waiting.version} is not taken",
            why="another one came meanwhile",
            fix=f"{command}, and compare again if one waits",
        )
    keyring.write_roster(held)
    say("the roster is taken; a program that runs has it within a second")
    next_command(command)


def _compare(stranger: "Enrolled", known: "Enrolled | None", given: Sequence[str]) -> None:
    """Return if a person has compared the fingerprint of an orchestrator that is not known here."""
    from fedmq.errors import ConfigurationError

    name, shown = stranger.name, stranger.public.fingerprint
    if known is not None:
        say(f"{name} has   {known.public.fingerprint}")
    say(f"{name} shows {shown}")
    said = given or [typer.prompt(f"type what the hub's operator reads out for {name}", err=True)]
    if shown.replace(" ", "") not in {"".join(one.split()).lower() for one in said}:
        raise ConfigurationError(
            "the roster that waits is not taken",
            why=f"no fingerprint that was given is that of {name} in it",
            fix="ask the hub's operator for it again: fedmq orchestrator roster; if they differ "
            "still, leave that roster and tell the operator",
        )


def _print(roster: "Roster") -> None:
    show_table(
        ("name", "role", "fingerprint"),
        [(one.name, one.role, one.public.fingerprint) for one in roster.members],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    """What is otherwise in a roster that waits: names."""

    out: tuple[str, ...]
    """Of whom nothing is believed any more, already."""
    without_earlier_keys: tuple[str, ...]
    """Who have had keys that count no more, already."""
    awaited: tuple[str, ...]
    """Who are new, or have other keys, once it is taken."""


def _changes(roster: "Roster", waiting: "Roster", believed: "Roster") -> _Changes:
    out = {one.name for one in roster.members if believed.find(one.name) is None}
    revoked = {
        one.name
        for one in believed.revoked
        if believed.find(one.name) and not roster.is_revoked(bytes.fromhex(one.signing))
    }
    known = {one.public for one in roster.members}
    awaited = {one.name for one in waiting.members if one.public not in known}
    return _Changes(
        out=tuple(sorted(out)),
        without_earlier_keys=tuple(sorted(revoked)),
        awaited=tuple(sorted(awaited)),
    )


def _say_changes(changes: _Changes) -> None:
    if changes.out:
        say_long(f"already out, without your word: {', '.join(changes.out)}")
    if changes.without_earlier_keys:
        names = ", ".join(changes.without_earlier_keys)
        say_long(f"already without their earlier keys, without your word: {names}")
    say_long(f"new, or with other keys, once you take it: {', '.join(changes.awaited)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterMark:
    """A roster as it is compared: one version has one hash everywhere; a record for programs."""

    version: int
    hash: str
    fingerprint: str
    """The beginning of the hash, for people."""

    def __str__(self) -> str:
        """Return it as people compare it."""
        return f"{self.version}, hash {self.fingerprint}"


def find_mark(keyring: "Keyring") -> RosterMark | None:
    """Return the mark of a member's roster; None where there is none that can be read."""
    from fedmq.errors import ConfigurationError, ProtocolError

    try:
        signed = keyring.signed_roster()
        return _mark(keyring.roster(signed), signed)
    except (ConfigurationError, ProtocolError):
        return None


def find_hub_mark(hub: "Hub") -> RosterMark | None:
    """Return the mark of the hub's roster, whose authority may be on another machine."""
    keyrings = [hub.authority.keyring, *hub.keyrings()]
    marks = [mark for mark in map(find_mark, keyrings) if mark is not None]
    return max(marks, key=lambda mark: mark.version, default=None)


def _document(roster: "Roster", signed: "SignedRoster") -> dict[str, object]:
    mark = _mark(roster, signed)
    return {
        "federation": roster.federation,
        "version": mark.version,
        "hash": mark.hash,
        "fingerprint": mark.fingerprint,
        "members": [
            {"name": one.name, "role": one.role, "fingerprint": one.public.fingerprint}
            for one in roster.members
        ],
        "revoked": [one.name for one in roster.revoked],
    }


def _mark(roster: "Roster", signed: "SignedRoster") -> RosterMark:
    return RosterMark(version=roster.version, hash=signed.hash, fingerprint=signed.fingerprint)
