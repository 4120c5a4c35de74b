"""The roster at a member: who is in it, and a newer one that waits for a person."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.hub.credentials import read_credentials, write_credentials
from fedmq.hub.keyring import Keyring, new_identity
from fedmq.security.roster import (
    SignedRoster,
    enrolled,
    sign_roster,
    with_member,
    with_next_keys,
    without_earlier_keys,
    without_member,
)
from fedmq.security.rotation import make_rotation_request
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.cli.line import CommandLine

HELD = {
    "node": ("chu-lyon", Role.NODE, "node/credentials.toml", ("node", "roster")),
    "researcher": ("ada", Role.RESEARCHER, "credentials.toml", ("roster",)),
    "orchestrator": (
        "centre-south",
        Role.ORCHESTRATOR,
        "hub/credentials/orchestrator.toml",
        ("orchestrator", "roster"),
    ),
}
"""Members by role: name, role, the file of their credentials, the command."""


@pytest.fixture
def keys_of_held() -> Keys:
    """Return the keys of the federation in which a roster is held."""
    return Keys({"orchestrator": Role.ORCHESTRATOR})


def of(signed: SignedRoster, keyring: Keyring, name: str) -> str:
    """Return the fingerprint that a roster has of somebody."""
    member = keyring.roster(signed).find(name)
    assert member is not None
    return member.public.fingerprint


def fingerprint_of(keyring: Keyring, name: str) -> str:
    """Return what the hub's operator reads out: the fingerprint in the roster that waits."""
    waiting = keyring.held_roster()
    assert waiting is not None
    return of(waiting, keyring, name)


@pytest.fixture(params=HELD)
def held(
    request: pytest.FixtureRequest,
    credentials: Callable[..., Path],
    home: Path,
    keys_of_held: Keys,
) -> tuple[Keyring, tuple[str, ...]]:
    """Return a member's keyring with a roster that waits, and the command that shows it."""
    name, role, file, command = HELD[request.param]
    path = credentials(name, role, home / file)
    keys = keys_of_held
    keys.identities[name] = new_identity(name, role)
    keys.roster = keys.make_roster(1, *keys.identities)
    made = keys.write_keyring(path.with_suffix(".keys"), keys.identities[name])
    rogue = enrolled(new_identity("orchestrator", Role.ORCHESTRATOR).public)
    made.hold_roster(sign_roster(with_member(keys.roster, rogue, at=2.0), keys.governance))
    return made, command


def test_a_roster_that_waits_is_shown_and_taken(
    fedmq: CommandLine, held: tuple[Keyring, tuple[str, ...]]
) -> None:
    """Both are shown, with the fingerprints that differ; once taken, none waits."""
    keyring, command = held
    typed = " ".join(("fedmq", *command))
    shown = fedmq(*command)
    assert shown.data.count("orchestrator  orchestrator  ") == 2
    assert "roster 2 waits" in shown.talk
    assert shown.talk.endswith(f"next: {typed} --accept\n")
    document = fedmq(*command, "--json").json
    assert (document["roster"]["version"], document["held"]["version"]) == (1, 2)
    signed, waiting = keyring.signed_roster(), keyring.held_roster()
    assert waiting is not None
    for one, name in ((signed, "roster"), (waiting, "held")):
        assert document[name]["hash"] == one.hash
        assert document[name]["fingerprint"] == one.fingerprint
        assert one.fingerprint in shown.talk
    given = fingerprint_of(keyring, "orchestrator").upper()
    taken = fedmq(*command, "--accept", "--fingerprint", given)
    assert "new, or with other keys, once you take it: orchestrator\n" in taken.talk
    for what, version in (("has  ", "roster"), ("shows", "held")):
        (one,) = (it for it in document[version]["members"] if it["name"] == "orchestrator")
        assert f"orchestrator {what} {one['fingerprint']}\n" in taken.talk
    assert taken.talk.endswith(f"next: {typed}\n")
    assert keyring.roster(keyring.signed_roster()).version == 2
    again = fedmq(*command, "--accept", "--fingerprint", given)
    assert (again.code, again.data) == (1, "")
    assert "no roster waits" in again.talk
    assert again.talk.endswith(f"fix: {typed}\n")
    assert fedmq(*command, "--json").json["held"] is None
    assert fedmq(*command).ends_with_next


def test_a_roster_is_not_taken_unseen(
    fedmq: CommandLine,
    held: tuple[Keyring, tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it changes is shown, and what the hub's operator reads out is asked for."""
    keyring, command = held
    asks = "type what the hub's operator reads out for orchestrator:"
    known = of(keyring.signed_roster(), keyring, "orchestrator")
    for said in ("", "\n", "yes\n", f"{known}\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(said))
        outcome = fedmq(*command, "--accept")
        assert (outcome.code, outcome.data.strip()) == (1, ""), said
        assert "roster 2 waits; its hash: " in outcome.talk
        assert asks in outcome.talk
        assert keyring.held_roster() is not None
    assert "no fingerprint that was given is that of orchestrator in it" in outcome.talk
    other = fedmq(*command, "--accept", "--fingerprint", known)
    assert (other.code, asks in other.talk) == (1, False)
    monkeypatch.setattr(sys, "stdin", io.StringIO(fingerprint_of(keyring, "orchestrator") + "\n"))
    assert fedmq(*command, "--accept").code == 0
    assert keyring.held_roster() is None


@pytest.mark.parametrize("held", ["node"], indirect=True)
def test_each_orchestrator_that_is_not_known_is_compared(
    fedmq: CommandLine, held: tuple[Keyring, tuple[str, ...]], keys_of_held: Keys
) -> None:
    """One that is known needs none of it."""
    keyring, command = held
    newest = keys_of_held.roster
    for name in ("centre-north", "centre-west"):
        new = enrolled(new_identity(name, Role.ORCHESTRATOR).public)
        newest = with_member(newest, new, at=3.0)
    keyring.hold_roster(sign_roster(newest, keys_of_held.governance))
    north, west = (fingerprint_of(keyring, name) for name in ("centre-north", "centre-west"))
    assert fedmq(*command, "--accept", "--fingerprint", north).code == 1
    assert keyring.held_roster() is not None
    both = ("--fingerprint", west, "--fingerprint", north)
    assert fedmq(*command, "--accept", *both).code == 0
    assert keyring.held_roster() is None


@pytest.mark.parametrize("held", ["node"], indirect=True)
def test_another_one_that_comes_while_a_person_compares_is_not_taken_unseen(
    fedmq: CommandLine,
    held: tuple[Keyring, tuple[str, ...]],
    keys_of_held: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor that which was shown: it is not the newest any more."""
    keyring, command = held
    shown = fingerprint_of(keyring, "orchestrator")
    rogue = enrolled(new_identity("centre-west", Role.ORCHESTRATOR).public)
    newest = with_member(keys_of_held.roster, rogue, at=3.0)
    later = sign_roster(newest.model_copy(update={"version": 3}), keys_of_held.governance)

    def reads_out(*_: object, **__: object) -> str:
        keyring.hold_roster(later)
        return shown

    monkeypatch.setattr("typer.prompt", reads_out)
    outcome = fedmq(*command, "--accept")
    assert outcome.code == 1
    assert "another one came meanwhile" in outcome.talk
    assert keyring.held_roster() == later
    assert keyring.roster(keyring.signed_roster()).version == 1


def test_what_counts_already_of_a_roster_that_waits_is_told_from_what_does_not(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """Who is out is out without the person's word; who is new, and other keys, wait for it."""
    path = credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    nodes = dict.fromkeys(("chu-lyon", "ghu-paris", "umc-basel"), Role.NODE)
    keys = Keys({**nodes, "orchestrator": Role.ORCHESTRATOR})
    keyring = keys.write_keyring(path.with_suffix(".keys"), keys.identities["chu-lyon"])
    north = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)
    newest = with_member(keys.roster, north, at=2.0)
    newest = without_member(newest, "ghu-paris", "left", at=3.0)
    for name, are_stolen in (("umc-basel", True), ("chu-lyon", False)):
        asked = make_rotation_request(keys.identities[name], new_identity(name, Role.NODE))
        newest = with_next_keys(newest, asked.public, asked.proof, are_stolen=are_stolen, at=4.0)
    keyring.hold_roster(sign_roster(newest, keys.governance))
    shown = fedmq("node", "roster")
    assert "already out, without your word: ghu-paris, umc-basel\n" in shown.talk
    awaited = "new, or with other keys, once you take it: centre-north, chu-lyon, umc-basel\n"
    assert awaited in shown.talk
    assert "earlier keys" not in shown.talk
    assert fedmq("node", "roster", "--json").json["held"]["changes"] == {
        "out": ["ghu-paris", "umc-basel"],
        "without_earlier_keys": [],
        "awaited": ["centre-north", "chu-lyon", "umc-basel"],
    }


def test_earlier_keys_that_count_no_more_already_are_named(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """Their owner goes on with those that it has."""
    path = credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    keys = Keys({"chu-lyon": Role.NODE, "orchestrator": Role.ORCHESTRATOR})
    known, upcoming = keys.identities["chu-lyon"], new_identity("chu-lyon", Role.NODE)
    asked = make_rotation_request(known, upcoming)
    keys.roster = with_next_keys(keys.roster, asked.public, asked.proof, are_stolen=False, at=2.0)
    keyring = keys.write_keyring(path.with_suffix(".keys"), upcoming)
    north = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)
    newest = without_earlier_keys(with_member(keys.roster, north, at=3.0), "chu-lyon", at=4.0)
    keyring.hold_roster(sign_roster(newest, keys.governance))
    shown = fedmq("node", "roster")
    assert "already without their earlier keys, without your word: chu-lyon\n" in shown.talk
    assert "already out" not in shown.talk


@pytest.mark.parametrize("held", ["researcher"], indirect=True)
def test_a_researcher_is_told_of_it_by_every_command(
    fedmq: CommandLine, held: tuple[Keyring, tuple[str, ...]]
) -> None:
    """What it changes does not count until then: experiments could be led by who is not known."""
    keyring, _ = held
    path = keyring.folder.with_suffix(".toml")
    nowhere = replace(read_credentials(path), url="amqp://broker.example.org")  # not without TLS
    write_credentials(path, nowhere)
    words = "a newer roster waits for your word"
    assert words in fedmq("experiments", "list").talk
    given = fingerprint_of(keyring, "orchestrator")
    assert fedmq("roster", "--accept", "--fingerprint", given).code == 0
    assert keyring.held_roster() is None
    assert words not in fedmq("experiments", "list").talk


def test_the_files_of_another_role_show_no_roster(
    fedmq: CommandLine, credentials: Callable[..., Path], home: Path
) -> None:
    """Whose roster it is would not be what was asked."""
    credentials("chu-lyon", Role.NODE, home / "credentials.toml")
    outcome = fedmq("roster")
    assert (outcome.code, outcome.data) == (1, "")
    assert "are not a researcher's" in outcome.talk
