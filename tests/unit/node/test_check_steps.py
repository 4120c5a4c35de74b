"""The steps of a node's check that look at this machine alone: what each says when it fails."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.hub.credentials import Credentials, write_credentials
from fedmq.hub.keyring import Keyring, new_identity
from fedmq.hub.membership import read_membership
from fedmq.node.check import Finding, State, check
from fedmq.node.check_steps import Subject, steps_of
from fedmq.security.roster import enrolled, sign_roster, with_member
from fedmq.transport.rabbitmq_tls import Tls
from fedmq.types import Role
from tests.support.keys import Keys

LYON = "chu-lyon"


@pytest.fixture
def keys() -> Keys:
    """Return the keys of a federation of one node."""
    return Keys({LYON: Role.NODE, "orchestrator": Role.ORCHESTRATOR})


@pytest.fixture
def keyring(keys: Keys, tmp_path: Path) -> Keyring:
    """Return the keyring of a node whose folder is `tmp_path`."""
    known = Credentials(
        role=Role.NODE,
        user=LYON,
        url="amqp://127.0.0.1:5672/fedmq",
        password="none",  # noqa: S106 - it opens nothing
        identity="credentials.keys",
    )
    write_credentials(tmp_path / "credentials.toml", known)
    return keys.write_keyring(tmp_path / "credentials.keys", keys.identities[LYON])


@pytest.fixture
def look(keyring: Keyring, tmp_path: Path) -> Callable[[str], Finding]:
    """Return what finds how one step goes."""

    def found(name: str) -> Finding:
        membership = read_membership(keyring.folder.parent / "credentials.toml")
        subject = Subject(
            folder=tmp_path,
            membership=membership,
            login=membership.login("test"),
            is_uncontained_allowed=False,
        )
        (step,) = (one for one in steps_of(subject) if one.name == name)
        (finding,) = check([step])
        return finding

    return found


def test_a_roster_that_waits_for_a_persons_word_is_not_well(
    look: Callable[[str], Finding], keyring: Keyring, keys: Keys
) -> None:
    """The versions and the command that takes it are named; once it is taken all is well."""
    assert look("roster").state is State.OK
    rogue = enrolled(new_identity("orchestrator", Role.ORCHESTRATOR).public)
    held = sign_roster(with_member(keys.roster, rogue, at=2.0), keys.governance)
    keyring.hold_roster(held)
    found = look("roster")
    assert (found.state, found.code) == (State.FAILED, "roster_failed")
    assert found.words == "roster 2 waits for your word; 1 is in use"
    assert "fedmq node roster --accept" in found.fix
    keyring.write_roster(held)
    assert look("roster").words.startswith("version 2 ")


@pytest.mark.parametrize("allows_1_2", [True, False])
def test_tls_1_2_is_allowed_as_the_setting_says_where_the_system_is_believed(
    keyring: Keyring, tmp_path: Path, *, allows_1_2: bool
) -> None:
    """A broker of others without an authority of its own is no exception."""
    known = read_membership(tmp_path / "credentials.toml")
    far = replace(known.credentials, url="amqps://broker.example.org/f")
    login = replace(known, credentials=far).login("test", allows_tls_1_2=allows_1_2)
    assert login.tls == Tls(authority=None, allows_1_2=allows_1_2)
    assert known.login("test").tls is None  # this machine's own, as it is
    assert keyring.folder.exists()
