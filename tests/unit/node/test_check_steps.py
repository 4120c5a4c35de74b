"""The steps of a node's check that look at this machine alone: what each says when it fails."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.errors import ConfigurationError, StorageError
from fedmq.hub.credentials import Credentials, write_credentials
from fedmq.hub.keyring import Keyring, new_identity
from fedmq.hub.membership import read_membership
from fedmq.node.check import Finding, State, check
from fedmq.node.check_steps import Subject, _folders_to_be, _token, steps_of
from fedmq.node.containment import Containment
from fedmq.security.certificates import DAY_S, certify, make_authority
from fedmq.security.joining import JoinToken, Way
from fedmq.security.roster import (
    enrolled,
    sign_roster,
    with_member,
    with_next_keys,
    without_member,
)
from fedmq.security.rotation import make_rotation_request
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


@pytest.mark.parametrize("how", ["revoked", "stolen"])
def test_a_node_that_is_out_in_a_roster_that_waits_is_told_so(
    look: Callable[[str], Finding], keyring: Keyring, keys: Keys, how: str
) -> None:
    """Nobody believes it where that roster is; what to do depends on whether it has other keys."""
    north = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)
    newest = with_member(keys.roster, north, at=2.0)
    if how == "revoked":
        newest = without_member(newest, LYON, "left", at=3.0)
    else:
        asked = make_rotation_request(*keyring.prepare())
        newest = with_next_keys(newest, asked.public, asked.proof, are_stolen=True, at=3.0)
    keyring.hold_roster(sign_roster(newest, keys.governance))
    found = look("roster")
    assert found.state is State.FAILED
    if how == "revoked":
        assert found.words == "this node is out, by roster 3, which waits for your word"
        assert "does not name this node" in found.why
        assert "ask the hub's operator" in found.fix
        assert "--accept" not in found.fix
    else:
        assert found.words.startswith("this node's present keys are out, by roster 3, ")
        assert "fedmq node roster --accept" in found.fix


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


def test_a_roster_without_this_node_is_not_well(
    look: Callable[[str], Finding], keyring: Keyring, keys: Keys
) -> None:
    """Revoked, as far as this machine knows: the hub's operator is asked."""
    without = sign_roster(keys.make_roster(2, "orchestrator"), keys.governance)
    keyring.write_roster(without)
    found = look("roster")
    assert (found.state, found.words) == (
        State.FAILED,
        "this node is not in the roster that it has",
    )
    assert "revoked" in found.fix


@pytest.mark.parametrize(
    ("age_s", "fix"),
    [
        (0.0, ""),
        (2 * 366 * DAY_S, "fedmq hub renew chu-lyon"),
        (-2 * DAY_S, "set this machine's clock"),
    ],
    ids=["good", "ended", "not begun"],
)
def test_a_certificate_that_is_not_good_at_this_hour_is_not_well(
    look: Callable[[str], Finding], keyring: Keyring, *, age_s: float, fix: str
) -> None:
    """Who gives a new one is named, with the command and this machine's clock."""
    made = time.time() - age_s
    authority = make_authority("fedmq authority", now=made)
    pair = certify(authority, LYON, now=made)
    keyring.write_certificate(
        authority=authority.certificate, certificate=pair.certificate, key=pair.key
    )
    found = look("certificate")
    assert (found.state is State.OK) is (not fix)
    assert fix in found.fix


def test_where_plans_cannot_be_kept_in_is_not_well_unless_the_operator_says_so(
    look: Callable[[str], Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without any of the means."""
    monkeypatch.setattr(
        "fedmq.node.check_steps.find_containment", lambda _: Containment(means=frozenset())
    )
    assert look("containment").state is State.FAILED


def test_a_file_where_the_nodes_folder_should_be_is_not_well(
    look: Callable[[str], Finding], tmp_path: Path
) -> None:
    """Before joining, and afterwards; the account of tests may be the one that can write all."""
    assert look("folders").state is State.OK
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        _folders_to_be(tmp_path / "taken" / "node")
    assert "can be made" in _folders_to_be(tmp_path / "free" / "node")


def test_a_token_that_has_ended_is_not_well() -> None:
    """It says whom to ask for another."""
    token = JoinToken(
        federation="trial",
        name=LYON,
        role=Role.NODE,
        way=Way(url="amqp://127.0.0.1/f"),
        governance="00" * 32,
        mailbox="00" * 32,
        secret="00" * 32,
        expires_at=time.time() + 60.0,
    )
    assert _token(token).startswith("it invites chu-lyon to trial until ")
    with pytest.raises(ConfigurationError, match="fedmq hub add-node chu-lyon"):
        _token(token.model_copy(update={"expires_at": time.time() - 60.0}))
