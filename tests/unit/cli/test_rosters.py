"""The roster at a member: who is in it, and a newer one that waits for a person."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.hub.credentials import read_credentials, write_credentials
from fedmq.hub.keyring import Keyring, new_identity
from fedmq.security.roster import enrolled, sign_roster, with_member
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


@pytest.fixture(params=HELD)
def held(
    request: pytest.FixtureRequest, credentials: Callable[..., Path], home: Path
) -> tuple[Keyring, tuple[str, ...]]:
    """Return a member's keyring with a roster that waits, and the command that shows it."""
    name, role, file, command = HELD[request.param]
    path = credentials(name, role, home / file)
    keys = Keys({name: role, "orchestrator": Role.ORCHESTRATOR})
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
    assert fedmq(*command, "--accept").talk.endswith(f"next: {typed}\n")
    assert keyring.roster(keyring.signed_roster()).version == 2
    again = fedmq(*command, "--accept")
    assert (again.code, again.data) == (1, "")
    assert "no roster waits" in again.talk
    assert again.talk.endswith(f"fix: {typed}\n")
    assert fedmq(*command, "--json").json["held"] is None
    assert fedmq(*command).ends_with_next


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
    assert fedmq("roster", "--accept").code == 0
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
