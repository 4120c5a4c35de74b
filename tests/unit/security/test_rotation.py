"""A member's next keys: who may ask for them, and which keys count when."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from fedmq.errors import ProtocolError
from fedmq.hub.keyring import new_identity
from fedmq.security.identities import Identity
from fedmq.security.roster import Roster, open_roster, sign_roster, unproven, with_next_keys
from fedmq.security.rotation import (
    RotationRequest,
    keys_by_roster,
    make_rotation_request,
    require_rotation,
)
from fedmq.security.wire import SealedWire
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.security.test_wire import PREPARE, message

LYON, CENTRE = "chu-lyon", "orchestrator"
KEYS = Keys({LYON: Role.NODE, CENTRE: Role.ORCHESTRATOR, "ghu-paris": Role.NODE})
PRESENT = KEYS.identities[LYON]
NEXT = new_identity(LYON, Role.NODE)
ASKED = make_rotation_request(PRESENT, NEXT)


def followed(roster: Roster, present: Identity, upcoming: Identity, *, stolen: bool) -> Roster:
    """Return the roster in which a member has its next keys."""
    request = make_rotation_request(present, upcoming)
    require_rotation(request, roster)
    return with_next_keys(roster, request.public, request.proof, are_stolen=stolen, at=2.0)


def test_a_member_may_ask_for_keys_that_it_has() -> None:
    """Both sign."""
    assert require_rotation(ASKED, KEYS.roster).public == PRESENT.public
    assert RotationRequest.model_validate_json(ASKED.model_dump_json()) == ASKED


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (make_rotation_request(KEYS.identities["ghu-paris"], NEXT), "request_stale"),
        (make_rotation_request(new_identity(LYON, Role.NODE), NEXT), "request_stale"),
        (make_rotation_request(PRESENT, PRESENT), "request_forged"),
        (make_rotation_request(PRESENT, replace(NEXT, name="chu-lille")), "request_forged"),
        (
            make_rotation_request(PRESENT, replace(NEXT, role=Role.ORCHESTRATOR)),
            "request_forged",
        ),
        (ASKED.model_copy(update={"sealing": "00" * 32}), "request_forged"),
        (ASKED.model_copy(update={"signature": "00" * 64}), "request_forged"),
        (ASKED.model_copy(update={"proof": "00" * 64}), "request_forged"),
    ],
)
def test_nobody_else_asks_for_it(request_: RotationRequest, reason: str) -> None:
    """Another member, a stranger, another name or role, or somebody who altered the request."""
    with pytest.raises(ProtocolError) as caught:
        require_rotation(request_, KEYS.roster)
    assert caught.value.reason == reason


def test_a_request_is_good_once() -> None:
    """Sent again after the next change, it is of keys that the member has no more."""
    later = followed(KEYS.roster, PRESENT, NEXT, stolen=False)
    with pytest.raises(ProtocolError, match="not those of the roster"):
        require_rotation(ASKED, later)


def test_stolen_keys_sign_nothing_that_counts_and_read_nothing_new() -> None:
    """From the roster on that says so; the member's own next message is taken."""
    later = followed(KEYS.roster, PRESENT, NEXT, stolen=True)
    centre = SealedWire(KEYS.identities[CENTRE], later, random=os.urandom)
    thief, lyon = (SealedWire(one, later, random=os.urandom) for one in (PRESENT, NEXT))
    assert centre.open(lyon.seal(message(PREPARE), [CENTRE])).body == PREPARE
    with pytest.raises(ProtocolError) as caught:
        centre.open(thief.seal(message(PREPARE), [CENTRE]))
    assert caught.value.reason == "bad_signature"
    secret = centre.seal(message(PREPARE, CENTRE, LYON), [LYON])
    with pytest.raises(ProtocolError) as caught:
        thief.open(secret)
    assert caught.value.reason == "seal_broken"
    assert lyon.open(secret).body == PREPARE
    with pytest.raises(ProtocolError):
        require_rotation(make_rotation_request(NEXT, PRESENT), later)


def test_who_was_away_for_many_changes_of_the_orchestrator_follows_them() -> None:
    """Each vouches for the next; one stranger in the line, and a person has to look."""
    roster, known = KEYS.roster, KEYS.identities[CENTRE]
    for _ in range(4):
        upcoming = new_identity(CENTRE, Role.ORCHESTRATOR)
        roster = followed(roster, known, upcoming, stolen=False)
        known = upcoming
    signed = sign_roster(roster, KEYS.governance)
    assert open_roster(signed, KEYS.governance.public.signing) == roster
    assert unproven(KEYS.roster, roster, Role.ORCHESTRATOR) == ()
    member = roster.find(CENTRE)
    assert member is not None
    assert len(member.line) == 3
    for spoil in (
        lambda line: [line[0], *line[2:]],
        lambda line: line[:1],
        lambda line: [line[0].model_copy(update={"proof": "00" * 64}), *line[1:]],
    ):
        cut = member.model_copy(update={"line": spoil(member.line)})  # type: ignore[no-untyped-call]
        others = [one for one in roster.members if one.name != CENTRE]
        spoilt = roster.model_copy(update={"members": [*others, cut]})
        assert unproven(KEYS.roster, spoilt, Role.ORCHESTRATOR) == (cut,)


@pytest.mark.parametrize(
    ("roster", "upcoming", "expected"),
    [
        (lambda: KEYS.roster, None, PRESENT),
        (lambda: KEYS.roster, NEXT, PRESENT),
        (
            lambda: followed(KEYS.roster, PRESENT, NEXT, stolen=False),
            NEXT,
            replace(NEXT, retired=(PRESENT.sealing,)),
        ),
        (
            lambda: followed(KEYS.roster, PRESENT, NEXT, stolen=False),
            new_identity(LYON, Role.NODE),
            PRESENT,
        ),
    ],
    ids=["none wait", "not admitted", "admitted", "others were admitted"],
)
def test_the_roster_says_which_keys_are_used(
    roster: Callable[[], Roster], upcoming: Identity | None, expected: Identity
) -> None:
    """And nothing else does."""
    assert keys_by_roster(roster(), PRESENT, upcoming) == expected
