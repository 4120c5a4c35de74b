"""The wire: who signed it, for whom it is sealed, and every way in which that is not so."""

import os
import random
from dataclasses import replace

import pytest

from fedmq.errors import ProtocolError
from fedmq.hub.keyring import new_identity
from fedmq.messages.codec import (
    Message,
    Parcel,
    encode,
    pack_parcel,
    read_keys,
    unpack_parcel,
)
from fedmq.messages.registry import Body
from fedmq.security.roster import Roster, enrolled, sign_roster, without_member
from fedmq.security.sealing import unwrap_key
from fedmq.security.wire import EVENTS, SealedWire, open_event
from fedmq.types import Role
from tests.support.keys import Keys
from tests.unit.messages import examples

LYON, PARIS, CENTRE, ADA = "chu-lyon", "ghu-paris", "orchestrator", "ada"
ROLES = {LYON: Role.NODE, PARIS: Role.NODE, CENTRE: Role.ORCHESTRATOR, ADA: Role.RESEARCHER}
CANARY = "canary-of-a-plan"


@pytest.fixture(scope="module")
def keys() -> Keys:
    """Return the keys of a small federation."""
    return Keys(ROLES)


def message(body: Body, sender: str = LYON, recipient: str = CENTRE) -> Message:
    """Return an example between two members."""
    made = examples.a_message(body)
    envelope = made.envelope.model_copy(update={"sender": sender, "recipient": recipient})
    return replace(made, envelope=envelope)


def of_type(name: str) -> Body:
    """Return the example of a type."""
    (found,) = [body for body in examples.BODIES if name == body.TYPE]
    return found


SEALED = [body for body in examples.BODIES if body.TYPE not in {*EVENTS, "roster"}]
PREPARE = of_type("prepare.request")


def reason_of(wire: SealedWire, encoded: bytes) -> str:
    """Return why a message is not opened."""
    with pytest.raises(ProtocolError) as caught:
        wire.open(encoded)
    return caught.value.reason


@pytest.mark.parametrize("body", SEALED, ids=lambda body: body.TYPE)
def test_a_message_is_read_by_its_reader_and_by_nobody_else(keys: Keys, body: Body) -> None:
    """Whatever it says, a chunk's bytes too."""
    sent = message(body)
    encoded = keys.wire(LYON).seal(sent, [CENTRE])
    opened = keys.wire(CENTRE).open(encoded)
    assert opened == sent
    assert reason_of(keys.wire(PARIS), encoded) == "wrong_recipient"
    assert reason_of(keys.wire(LYON), encoded) == "wrong_recipient"


def test_one_message_is_sealed_once_for_all_its_readers(keys: Keys) -> None:
    """Only the wrapped key is there once for each."""
    body = PREPARE.model_copy(update={"plan_source": "x" * 100_000})
    sent = message(body, CENTRE, "-")
    one, both = (keys.wire(CENTRE).seal(sent, readers) for readers in ([LYON], [LYON, PARIS]))
    assert len(both) - len(one) < 200
    assert keys.wire(LYON).open(both) == keys.wire(PARIS).open(both) == sent


def test_messages_to_the_same_readers_share_a_key_and_no_nonce(keys: Keys) -> None:
    """To wrap it each time would be half of the work; others, and changed keys, get another one."""
    wire = keys.wire(CENTRE)
    sent = message(PREPARE, CENTRE, "-")
    first, second = (unpack_parcel(wire.seal(sent, [LYON])) for _ in range(2))
    assert first.keys == second.keys
    assert first.body != second.body, "sealed under the same key, it must not look the same"
    both = unpack_parcel(wire.seal(sent, [LYON, PARIS]))
    assert content_key(keys, LYON, both) != content_key(keys, LYON, first)
    changed = Keys(ROLES, version=2)
    wire.roster = changed.roster
    later = unpack_parcel(wire.seal(sent, [LYON]))
    assert content_key(changed, LYON, later) != content_key(keys, LYON, first), (
        "who has the keys of before reads no further"
    )


def content_key(keys: Keys, reader: str, parcel: Parcel) -> bytes:
    """Return the content key of a parcel from the centre."""
    own = keys.identities[reader].sealing_keys
    return unwrap_key(read_keys(parcel)[reader], sender=CENTRE, reader=reader, own_keys=own)


def test_a_reader_without_keys_is_told_apart(keys: Keys) -> None:
    """The message can wait until the roster has them; others get it meanwhile."""
    with pytest.raises(ProtocolError) as caught:
        keys.wire(CENTRE).seal(message(PREPARE, CENTRE, "umc-basel"), ["umc-basel"])
    assert caught.value.reason == "unknown_reader"
    encoded = keys.wire(CENTRE).seal(message(PREPARE, CENTRE, "-"), ["umc-basel", LYON])
    assert keys.wire(LYON).open(encoded).body == PREPARE


def test_nothing_of_a_sealed_message_is_to_be_seen(keys: Keys) -> None:
    """Neither text nor numbers of arrays; what the envelope says is."""
    body = PREPARE.model_copy(update={"plan_source": CANARY, "purpose": CANARY, "dataset": CANARY})
    encoded = keys.wire(CENTRE).seal(message(body, CENTRE, LYON), [LYON])
    assert CANARY.encode() not in encoded
    assert b"prepare.request" in encoded
    chunk = message(of_type("payload.chunk"), CENTRE, "-")
    assert examples.DATA[:16] in encode(chunk)
    assert examples.DATA[:16] not in keys.wire(CENTRE).seal(chunk, [LYON])


@pytest.mark.parametrize("body", examples.BODIES, ids=lambda body: body.TYPE)
def test_any_bit_turned_on_the_way_is_found(keys: Keys, body: Body) -> None:
    """In header, keys, body, data or signature; none of them yields a message."""
    if body.TYPE == "roster":
        return  # what it brings is signed inside; tests/unit/hub/test_keyring.py
    encoded = keys.wire(LYON).seal(message(body), [CENTRE])
    wire, chance = keys.wire(CENTRE), random.Random(body.TYPE)
    for bit in chance.sample(range(8 * len(encoded)), min(400, 8 * len(encoded))):
        altered = bytearray(encoded)
        altered[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ProtocolError):
            wire.open(bytes(altered))


def test_who_signs_with_another_key_is_not_the_sender(keys: Keys) -> None:
    """A hospital cannot speak for another one, nor a broker for anybody."""
    forger = replace(keys.identities[PARIS], name=LYON)
    forged = SealedWire(forger, keys.roster, random=os.urandom).seal(message(PREPARE), [CENTRE])
    assert reason_of(keys.wire(CENTRE), forged) == "bad_signature"
    stranger = SealedWire(new_identity("x", Role.NODE), keys.roster, random=os.urandom)
    assert reason_of(keys.wire(CENTRE), stranger.seal(message(PREPARE, "x"), [CENTRE])) == (
        "unknown_sender"
    )


def test_a_message_without_seal_or_signature_is_no_way_around(keys: Keys) -> None:
    """The form of one's own disk is none on the wire; nor is a body that is only signed."""
    sent = message(PREPARE)
    assert reason_of(keys.wire(CENTRE), encode(sent)) == "bad_signature"
    parcel = unpack_parcel(encode(sent))
    signature = keys.identities[LYON].sign(b"message", parcel.header, parcel.keys, parcel.body)
    signed = pack_parcel(replace(parcel, signature=signature))
    assert reason_of(keys.wire(CENTRE), signed) == "not_sealed"


def with_rosters(keys: Keys, *, versions: tuple[int, int]) -> tuple[SealedWire, SealedWire]:
    """Return the wires of Lyon and the centre, for whom the governance signed other rosters."""
    first, second = versions
    rosters = {
        LYON: keys.make_roster(first, *keys.identities),
        CENTRE: keys.make_roster(second, LYON, CENTRE, ADA),
    }
    lyon, centre = (
        SealedWire(
            keys.identities[name],
            roster,
            random=os.urandom,
            roster_hash=sign_roster(roster, keys.governance).hash,
        )
        for name, roster in rosters.items()
    )
    return lyon, centre


def by_roster(sent: Message, version: int) -> Message:
    """Return a message of who knows the roster of this version."""
    return replace(sent, envelope=sent.envelope.model_copy(update={"roster": version}))


@pytest.mark.parametrize("body", [PREPARE, of_type("heartbeat"), of_type("payload.chunk")])
def test_two_rosters_of_one_version_are_found_out_with_the_first_message(
    keys: Keys, body: Body
) -> None:
    """Either way, by an event and by a chunk too; the hash is written by the wire, and signed."""
    lyon, centre = with_rosters(keys, versions=(3, 3))
    there = lyon.seal(by_roster(message(body), 3), [CENTRE])
    assert reason_of(centre, there) == "roster_forked"
    back = centre.seal(by_roster(message(body, CENTRE, LYON), 3), [LYON])
    assert reason_of(lyon, back) == "roster_forked"
    parcel = unpack_parcel(there)
    header = parcel.header.replace(lyon.roster_hash.encode(), centre.roster_hash.encode())
    assert header != parcel.header
    altered = pack_parcel(replace(parcel, header=header))
    assert reason_of(centre, altered) == "bad_signature"


def test_rosters_of_different_versions_have_different_hashes(keys: Keys) -> None:
    """One of the two has not heard of the newer one yet, and reads what the other one says."""
    lyon, centre = with_rosters(keys, versions=(3, 4))
    there = lyon.seal(by_roster(message(PREPARE), 3), [CENTRE])
    assert centre.open(there).envelope.roster_hash == lyon.roster_hash
    back = centre.seal(by_roster(message(PREPARE, CENTRE, LYON), 4), [LYON])
    assert lyon.open(back).envelope.roster_hash == centre.roster_hash != lyon.roster_hash


def test_the_hash_of_a_roster_is_said_of_no_other_version(keys: Keys) -> None:
    """What was written by an older roster is sealed by a newer one: nothing false is said of it."""
    lyon, centre = with_rosters(keys, versions=(4, 3))
    sent = by_roster(message(PREPARE), 3)
    bare = replace(sent, envelope=sent.envelope.model_copy(update={"roster_hash": "-"}))
    assert centre.open(lyon.seal(bare, [CENTRE])) == bare


def test_a_revoked_member_is_believed_no_more(keys: Keys) -> None:
    """Neither by name, nor with its old key under a name that is there."""
    encoded = keys.wire(LYON).seal(message(PREPARE), [CENTRE])
    later = without_member(keys.roster, LYON, "stolen", at=1.0)
    wire = SealedWire(keys.identities[CENTRE], later, random=os.urandom)
    assert reason_of(wire, encoded) == "revoked_sender"
    again = later.model_copy(
        update={"members": [*later.members, enrolled(keys.identities[LYON].public)]}
    )
    again = Roster.model_validate(again.model_dump())
    wire = SealedWire(keys.identities[CENTRE], again, random=os.urandom)
    assert reason_of(wire, encoded) == "bad_signature"


def test_after_a_rotation_old_and_new_keys_are_good_until_the_next(keys: Keys) -> None:
    """What was signed and sealed before is still on its way."""
    old, new = keys.identities[LYON], new_identity(LYON, Role.NODE)
    both = enrolled(new.public).model_copy(update={"previous": old.public.signing.hex()})
    members = [both if one.name == LYON else one for one in keys.roster.members]
    later = Roster.model_validate(keys.roster.model_dump() | {"members": members, "version": 2})
    centre = SealedWire(keys.identities[CENTRE], later, random=os.urandom)
    for signer in (old, new):
        wire = SealedWire(signer, later, random=os.urandom)
        assert centre.open(wire.seal(message(PREPARE), [CENTRE])).body == PREPARE
    before = keys.wire(CENTRE).seal(message(PREPARE, CENTRE, LYON), [LYON])
    rotated = SealedWire(replace(new, retired=(old.sealing,)), later, random=os.urandom)
    assert rotated.open(before).body == PREPARE


def test_an_event_is_signed_and_everybody_reads_it(keys: Keys) -> None:
    """Watchers have no keys; a sealed message is no event."""
    encoded = keys.wire(LYON).seal(message(of_type("heartbeat"), LYON, "-"))
    assert keys.wire(CENTRE).open(encoded) == open_event(encoded, keys.roster)
    sealed = keys.wire(LYON).seal(message(PREPARE), [CENTRE])
    with pytest.raises(ProtocolError, match="only its readers"):
        open_event(sealed, keys.roster)
    forger = replace(keys.identities[PARIS], name=LYON)
    forged = SealedWire(forger, keys.roster, random=os.urandom).seal(
        message(of_type("heartbeat"), LYON, "-")
    )
    with pytest.raises(ProtocolError, match="did not sign"):
        open_event(forged, keys.roster)


def test_the_bytes_of_a_chunk_are_the_same_in_the_next_life(keys: Keys) -> None:
    """What is resumed after a kill is what was begun."""
    chunk = message(of_type("payload.chunk"), CENTRE, "-")
    first, second = (unpack_parcel(keys.wire(CENTRE).seal(chunk, [LYON])) for _ in range(2))
    assert first.data == second.data
    other = unpack_parcel(keys.wire(LYON).seal(message(of_type("payload.chunk")), [CENTRE]))
    assert first.data != other.data
