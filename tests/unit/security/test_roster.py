"""The roster: the governance's word on who belongs, and what may follow it."""

from dataclasses import replace

import pytest

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.keyring import new_identity
from fedmq.security.identities import fingerprint
from fedmq.security.roster import (
    Enrolled,
    enrolled,
    open_roster,
    read_notice,
    sign_roster,
    sign_rotation,
    unproven,
    with_member,
    without_member,
)
from fedmq.types import Role
from tests.support.keys import Keys

LYON, CENTRE = "chu-lyon", "orchestrator"
KEYS = Keys({LYON: Role.NODE, CENTRE: Role.ORCHESTRATOR})
GOVERNANCE = KEYS.governance.public.signing


def rotated(name: str, role: Role, *, is_proven: bool = True) -> Enrolled:
    """Return a member's next keys, for which its present ones vouch, or a stranger's."""
    new, earlier = new_identity(name, role), KEYS.identities[name]
    voucher = earlier if is_proven else new_identity(name, role)
    return enrolled(new.public).model_copy(
        update={
            "previous": earlier.public.signing.hex(),
            "proof": sign_rotation(new.public, voucher),
        }
    )


def test_a_roster_comes_back_as_it_was_signed() -> None:
    """Also as a message."""
    assert open_roster(read_notice(KEYS.signed.notice), GOVERNANCE) == KEYS.roster


def test_a_roster_of_a_thousand_members_who_changed_their_keys_is_a_message() -> None:
    """Of four thousand too, while they have their first keys."""
    one = rotated(LYON, Role.NODE)
    for count, member in ((1_000, one), (4_000, KEYS.roster.members[0])):
        members = [member.model_copy(update={"name": f"n{number}"}) for number in range(count)]
        roster = KEYS.roster.model_copy(update={"members": members})
        assert open_roster(read_notice(sign_roster(roster, KEYS.governance).notice), GOVERNANCE)


def test_a_roster_that_no_message_holds_is_not_signed() -> None:
    """Signed, it would end every program that is to bring it to others."""
    member = KEYS.roster.members[0]
    members = [member.model_copy(update={"name": f"n{number}"}) for number in range(5_000)]
    roster = KEYS.roster.model_copy(update={"members": members})
    with pytest.raises(ConfigurationError, match="5000 members is too long"):
        sign_roster(roster, KEYS.governance)


def test_nobody_else_makes_a_roster() -> None:
    """Neither another governance, nor a letter more in this one's."""
    other = new_identity("other", Role.ADMIN)
    changed = replace(KEYS.signed, content=KEYS.signed.content.replace(LYON, "chu-lyom"))
    for signed, key in (
        (sign_roster(KEYS.roster, other), GOVERNANCE),
        (KEYS.signed, other.public.signing),
        (changed, GOVERNANCE),
        (replace(KEYS.signed, signature=bytes(64)), GOVERNANCE),
    ):
        with pytest.raises(ProtocolError, match="did not sign"):
            open_roster(signed, key)


def test_what_the_governance_signed_has_to_be_a_roster() -> None:
    """One name is one member's."""
    twice = KEYS.roster.model_copy(update={"members": [*KEYS.roster.members] * 2})
    with pytest.raises(ProtocolError, match="two members"):
        open_roster(sign_roster(twice, KEYS.governance), GOVERNANCE)
    odd = KEYS.roster.model_copy(update={"version": 0})
    with pytest.raises(ProtocolError, match="of its fields"):
        open_roster(sign_roster(odd, KEYS.governance), GOVERNANCE)


def test_each_change_is_a_version() -> None:
    """Who is out leaves its keys among those that count no more."""
    paris = enrolled(new_identity("ghu-paris", Role.NODE).public)
    later = with_member(KEYS.roster, paris, at=5.0)
    assert (later.version, [one.name for one in later.members]) == (
        2,
        [LYON, "ghu-paris", CENTRE],
    )
    last = without_member(later, LYON, "stolen", at=6.0)
    assert last.find(LYON) is None
    assert last.is_revoked(KEYS.identities[LYON].public.signing)
    assert not last.is_revoked(KEYS.identities[CENTRE].public.signing)


def test_an_orchestrator_with_unknown_keys_is_a_stranger() -> None:
    """A governance that was taken over cannot put one in without anybody's noticing."""
    for new, strangers in (
        (rotated(CENTRE, Role.ORCHESTRATOR), ()),
        (rotated(CENTRE, Role.ORCHESTRATOR, is_proven=False), (CENTRE,)),
        (enrolled(new_identity(CENTRE, Role.ORCHESTRATOR).public), (CENTRE,)),
        (enrolled(new_identity("second", Role.ORCHESTRATOR).public), ("second",)),
        (enrolled(new_identity("ghu-paris", Role.NODE).public), ()),
    ):
        later = with_member(KEYS.roster, new, at=5.0)
        found = unproven(KEYS.roster, later, Role.ORCHESTRATOR)
        assert tuple(one.name for one in found) == strangers


def test_a_fingerprint_is_eight_groups_of_five_that_nothing_else_has() -> None:
    """Letters and digits that are told apart when they are read out: no 0, 1, 8, 9."""
    lyon = KEYS.identities[LYON].public
    groups = lyon.fingerprint.split()
    assert [len(group) for group in groups] == [5] * 8
    assert set("".join(groups)) <= set("abcdefghijklmnopqrstuvwxyz234567")
    prints = {
        lyon.fingerprint,
        replace(lyon, name="chu-lyo").fingerprint,
        replace(lyon, role=Role.RESEARCHER).fingerprint,
        replace(lyon, sealing=lyon.signing).fingerprint,
        fingerprint(b"governance", lyon.signing),
        fingerprint(b"identity", "ab", "c"),
        fingerprint(b"identity", "a", "bc"),
    }
    assert len(prints) == 7


def test_a_roster_has_one_hash_of_its_exact_bytes() -> None:
    """Whoever signed them; what people compare is its beginning, and no other fingerprint."""
    signed = KEYS.signed
    stranger = new_identity("trial", Role.ADMIN)
    assert sign_roster(KEYS.roster, stranger).hash == signed.hash
    assert replace(signed, content=signed.content + " ").hash != signed.hash
    assert len(signed.hash) == 64
    assert signed.fingerprint == fingerprint(b"roster", signed.content)
    assert signed.fingerprint != fingerprint(b"governance", signed.content)
    assert len(signed.fingerprint.split()) == 8
