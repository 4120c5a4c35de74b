"""The roster at a node: who is in it, and a newer one that waits for a person."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedmq.hub.keyring import Keyring, new_identity
from fedmq.security.roster import enrolled, sign_roster, with_member
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.cli.line import CommandLine


@pytest.fixture
def keyring(credentials: Callable[..., Path], home: Path) -> Keyring:
    """Return the keyring of a machine that is a node, with an orchestrator in its roster."""
    credentials("chu-lyon", Role.NODE, home / "node" / "credentials.toml")
    keys = Keys({"chu-lyon": Role.NODE, "orchestrator": Role.ORCHESTRATOR})
    made = keys.write_keyring(home / "node" / "credentials.keys", keys.identities["chu-lyon"])
    rogue = enrolled(new_identity("orchestrator", Role.ORCHESTRATOR).public)
    made.hold_roster(sign_roster(with_member(keys.roster, rogue, at=2.0), keys.governance))
    return made


def test_a_roster_that_waits_is_shown_and_taken(fedmq: CommandLine, keyring: Keyring) -> None:
    """Both are shown, with the fingerprints that differ; once taken, none waits."""
    shown = fedmq("node", "roster")
    assert shown.data.count("orchestrator  orchestrator  ") == 2
    assert "roster 2 waits" in shown.talk
    assert shown.talk.endswith("next: fedmq node roster --accept\n")
    document = fedmq("node", "roster", "--json").json
    assert (document["roster"]["version"], document["held"]["version"]) == (1, 2)
    signed, held = keyring.signed_roster(), keyring.held_roster()
    assert held is not None
    for one, name in ((signed, "roster"), (held, "held")):
        assert document[name]["hash"] == one.hash
        assert document[name]["fingerprint"] == one.fingerprint
        assert one.fingerprint in shown.talk
    assert fedmq("node", "roster", "--accept").code == 0
    assert keyring.roster(keyring.signed_roster()).version == 2
    again = fedmq("node", "roster", "--accept")
    assert (again.code, again.data) == (1, "")
    assert "no roster waits" in again.talk
    assert fedmq("node", "roster", "--json").json["held"] is None
