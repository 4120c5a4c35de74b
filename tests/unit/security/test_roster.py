"""The roster: the governance's word on who belongs, and what may follow it."""

from dataclasses import replace

import pytest

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.hub.keyring import new_identity
from fedmq.security.identities import fingerprint
from fedmq.security.roster import (
    Enrolled,
    Roster,
    enrolled,
    open_roster,
    read_notice,
    restrict_roster,
    sign_roster,
    sign_rotation,
    unproven,
    with_member,
    with_next_keys,
    without_earlier_keys,
    without_member,
)
from fedmq.security.rotation import make_rotation_request
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


# A roster that waits for a person's word.

STRANGER = enrolled(new_identity("centre-north", Role.ORCHESTRATOR).public)


def waiting(roster: Roster = KEYS.roster) -> Roster:
    """Return the next roster, in which there is an orchestrator that nobody knows."""
    return with_member(roster, STRANGER, at=2.0)


def changed(roster: Roster, *, are_stolen: bool) -> Roster:
    """Return the next roster, in which Lyon has its next keys."""
    known = KEYS.identities[LYON]
    asked = make_rotation_request(known, new_identity(LYON, Role.NODE))
    return with_next_keys(roster, asked.public, asked.proof, are_stolen=are_stolen, at=3.0)


def test_of_a_roster_that_waits_nothing_is_added() -> None:
    """Neither members nor keys, nor its version: the accepted one is as it was."""
    held = changed(waiting(), are_stolen=False)
    assert held.find(LYON) != KEYS.roster.find(LYON)
    assert restrict_roster(KEYS.roster, held) == KEYS.roster


def test_whom_a_roster_that_waits_revokes_is_out_at_once() -> None:
    """With its keys; who is new in it is not in, and the others stay."""
    believed = restrict_roster(KEYS.roster, without_member(waiting(), LYON, "left", at=3.0))
    assert [one.name for one in believed.members] == [CENTRE]
    assert believed.is_revoked(KEYS.identities[LYON].public.signing)
    assert (believed.version, believed.federation) == (1, KEYS.roster.federation)


def test_whom_it_only_leaves_out_or_gives_another_role_is_out_too() -> None:
    """What is not vouched for any more is not believed, whether a key of it was revoked or not."""
    held = waiting()
    left_out = [one for one in held.members if one.name != LYON]
    (lyon,) = (one for one in held.members if one.name == LYON)
    for members in (left_out, [*left_out, lyon.model_copy(update={"role": Role.RESEARCHER})]):
        other = held.model_copy(update={"members": members}, deep=True)
        found = restrict_roster(KEYS.roster, Roster.model_validate(other.model_dump()))
        assert [one.name for one in found.members] == [CENTRE]


def test_stolen_keys_that_it_changes_leave_nobody_to_seal_to() -> None:
    """The sealing key is the thief's too; the next ones wait for the person."""
    believed = restrict_roster(KEYS.roster, changed(waiting(), are_stolen=True))
    assert believed.find(LYON) is None
    assert believed.is_revoked(KEYS.identities[LYON].public.signing)


def test_earlier_keys_that_it_revokes_are_out_and_their_owner_stays() -> None:
    """The keys that the accepted roster names were not stolen."""
    accepted = changed(KEYS.roster, are_stolen=False)
    held = without_earlier_keys(waiting(accepted), LYON, at=4.0)
    believed = restrict_roster(accepted, held)
    assert believed.find(LYON) == accepted.find(LYON)
    assert believed.is_revoked(KEYS.identities[LYON].public.signing)
    assert not accepted.is_revoked(KEYS.identities[LYON].public.signing)


def test_it_brings_back_nobody_who_was_out() -> None:
    """Who was revoked in the accepted one is so, whatever the newer one has forgotten."""
    accepted = without_member(KEYS.roster, LYON, "left", at=2.0)
    held = with_member(accepted, STRANGER, at=3.0).model_copy(
        update={"revoked": [], "members": [*KEYS.roster.members, STRANGER]}
    )
    believed = restrict_roster(accepted, Roster.model_validate(held.model_dump()))
    assert believed.find(LYON) is None
    assert believed.is_revoked(KEYS.identities[LYON].public.signing)


@pytest.mark.parametrize(
    "other",
    [{"version": 1}, {"version": 0}, {"federation": "another"}],
    ids=["of this version", "older", "of others"],
)
def test_a_roster_that_is_not_newer_or_of_others_takes_nothing(other: dict[str, object]) -> None:
    """It has been taken, or somebody has put an old one in its place."""
    held = without_member(waiting(), LYON, "left", at=3.0).model_copy(update=other)
    assert restrict_roster(KEYS.roster, held) is KEYS.roster
