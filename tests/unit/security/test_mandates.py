"""Mandates: whose order it is, and every way in which it is nobody's."""

import random

import pytest

from fedmq.hub.keyring import new_identity
from fedmq.messages.mandates import Mandate, Order
from fedmq.security.mandates import is_given, is_revoked, sign_order
from fedmq.security.roster import (
    enrolled,
    sign_rotation,
    with_member,
    with_next_keys,
    without_member,
)
from fedmq.security.rotation import make_rotation_request
from fedmq.types import ORCHESTRATOR, Role
from tests.support.keys import Keys
from tests.unit.messages.examples import MANIFEST, SPEC

ADA, BOB, CENTRE = "ada", "bob", "orchestrator"
KEYS = Keys({ADA: Role.RESEARCHER, BOB: Role.RESEARCHER, CENTRE: Role.ORCHESTRATOR})
ORDER = Order(
    experiment="lung-1", researcher=ADA, orchestrator=ORCHESTRATOR, spec=SPEC, initial=MANIFEST
)


def test_an_order_comes_back_as_it_was_signed() -> None:
    """And is its researcher's for everybody who has the roster."""
    given = KEYS.wire(ADA).sign(ORDER)
    assert given.order == ORDER
    assert Mandate.model_validate_json(given.model_dump_json()) == given
    assert KEYS.wire(CENTRE).is_given(given)


def test_nobody_signs_for_another() -> None:
    """Whoever signs, the name in the order counts."""
    assert not is_given(KEYS.wire(BOB).sign(ORDER), KEYS.roster)
    assert not is_given(KEYS.wire(CENTRE).sign(ORDER), KEYS.roster)
    own = ORDER.model_copy(update={"researcher": CENTRE})
    assert not is_given(KEYS.wire(CENTRE).sign(own), KEYS.roster)
    unknown = ORDER.model_copy(update={"researcher": "eve"})
    assert not is_given(KEYS.wire(BOB).sign(unknown), KEYS.roster)


def test_any_other_letter_is_another_order() -> None:
    """Of hundreds of changed ones that still read as orders, none is the researcher's."""
    given, rng = KEYS.wire(ADA).sign(ORDER), random.Random(5)
    num_read = 0
    for _ in range(3_000):
        at = rng.randrange(len(given.content))
        letter = chr(rng.randrange(32, 127))
        content = given.content[:at] + letter + given.content[at + 1 :]
        try:
            other = Mandate(content=content, signature=given.signature)
        except ValueError:
            continue
        num_read += content != given.content
        assert is_given(other, KEYS.roster) == (content == given.content)
    assert num_read > 300


def test_an_order_of_another_federation_is_none_here() -> None:
    """Though the researcher has the same keys there."""
    there = KEYS.roster.model_copy(update={"federation": "elsewhere"})
    given = sign_order(ORDER, KEYS.identities[ADA], there)
    assert is_given(given, there)
    assert not is_given(given, KEYS.roster)


def test_an_order_outlives_a_change_of_keys_and_not_its_researcher() -> None:
    """A long experiment goes on; that of somebody who was put out does not."""
    given = KEYS.wire(ADA).sign(ORDER)
    new, earlier = new_identity(ADA, Role.RESEARCHER), KEYS.identities[ADA]
    later = enrolled(new.public).model_copy(
        update={
            "previous": earlier.public.signing.hex(),
            "proof": sign_rotation(new.public, earlier),
        }
    )
    rotated = with_member(KEYS.roster, later, at=2.0)
    assert is_given(given, rotated)
    assert is_given(sign_order(ORDER, new, rotated), rotated)
    gone = without_member(rotated, ADA, "left", at=3.0)
    assert not is_given(given, gone)
    back = with_member(gone, later, at=4.0)
    assert not is_given(given, back)


@pytest.mark.parametrize("signature", ["", "00" * 64, "0f" * 64])
def test_a_signature_of_nothing_is_none(signature: str) -> None:
    """An empty one is believed by wires without keys alone."""
    assert not is_given(Mandate(content=ORDER.model_dump_json(), signature=signature), KEYS.roster)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"experiment":"x"}', "x" * 200_000])
def test_what_holds_no_order_is_no_mandate(content: str) -> None:
    """Refused by the codec."""
    with pytest.raises(ValueError, match="validation error"):
        Mandate(content=content, signature="")


def test_an_order_outlives_its_researchers_keys_unless_they_were_stolen() -> None:
    """Whatever changes as planned, however often; what a thief may have signed is nobody's."""
    roster, known = KEYS.roster, KEYS.identities[ADA]
    given = [KEYS.wire(ADA).sign(ORDER)]
    for _ in range(3):
        upcoming = new_identity(ADA, Role.RESEARCHER)
        asked = make_rotation_request(known, upcoming)
        roster = with_next_keys(roster, asked.public, asked.proof, are_stolen=False, at=2.0)
        known = upcoming
        given.append(sign_order(ORDER, known, roster))
    assert all(is_given(one, roster) for one in given)
    asked = make_rotation_request(known, new_identity(ADA, Role.RESEARCHER))
    roster = with_next_keys(roster, asked.public, asked.proof, are_stolen=True, at=3.0)
    assert not any(is_given(one, roster) for one in given)


def test_an_order_that_a_revoked_key_signed_is_told_from_one_of_somebody_unknown() -> None:
    """The first is over; a newer roster may still bring the second one's researcher."""
    given, bobs = KEYS.wire(ADA).sign(ORDER), KEYS.wire(BOB).sign(ORDER)
    asked = make_rotation_request(KEYS.identities[ADA], new_identity(ADA, Role.RESEARCHER))
    stolen = with_next_keys(KEYS.roster, asked.public, asked.proof, are_stolen=True, at=2.0)
    for roster in (without_member(KEYS.roster, ADA, "left", at=2.0), stolen):
        assert is_revoked(given, roster)
        assert not is_given(given, roster)
        assert not is_revoked(bobs, roster)
        assert not is_revoked(Mandate(content=given.content, signature=""), roster)
    assert not is_revoked(given, KEYS.roster)
    gone = without_member(KEYS.roster, BOB, "left", at=2.0)
    assert not is_revoked(bobs, gone), "the order names another"
