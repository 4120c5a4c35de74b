"""Rotation: a member's next keys, asked for by the present ones and by themselves. Pure.

Which keys a member uses is what its roster says, and nothing else: the next ones wait beside the
present ones until a roster names them. So there is no moment in between.
"""

from dataclasses import replace
from typing import Annotated, Final

from fedmq.errors import ProtocolError
from fedmq.messages.fields import Id, Value, Word
from fedmq.security.identities import Identity, PublicIdentity, is_signed
from fedmq.security.roster import (
    Enrolled,
    KeyHex,
    Roster,
    SignatureHex,
    is_rotation,
    sign_rotation,
)
from fedmq.types import Role

_REQUEST: Final = b"rotation request"


class RotationRequest(Value):
    """A member's next keys, signed by those that it has and by the new ones."""

    name: Id
    role: Annotated[Role, Word]
    signing: KeyHex
    sealing: KeyHex
    previous: KeyHex
    """The signing key that the member has."""
    proof: SignatureHex
    """Its word that the new ones are the same member's."""
    signature: SignatureHex
    """The new signing key's: who asks has it."""

    @property
    def public(self) -> PublicIdentity:
        """The new keys, with their fingerprint."""
        return PublicIdentity(
            name=self.name,
            role=self.role,
            signing=bytes.fromhex(self.signing),
            sealing=bytes.fromhex(self.sealing),
        )


def make_rotation_request(present: Identity, upcoming: Identity) -> RotationRequest:
    """Return the request of a member to have `upcoming` keys."""
    public, previous = upcoming.public, present.public.signing
    proof = sign_rotation(public, present)
    return RotationRequest(
        name=public.name,
        role=public.role,
        signing=public.signing.hex(),
        sealing=public.sealing.hex(),
        previous=previous.hex(),
        proof=proof,
        signature=upcoming.sign(_REQUEST, previous, bytes.fromhex(proof)).hex(),
    )


def require_rotation(request: RotationRequest, roster: Roster) -> Enrolled:
    """Return the member that asks, whose present keys vouch for the new ones.

    Raises:
        ProtocolError: request_forged, or request_stale: its keys are others by now.
    """
    member = roster.find(request.name)
    if member is None or member.role is not request.role:
        raise ProtocolError("request_forged", "nobody of that name and role is in the roster")
    if member.signing != request.previous:
        raise ProtocolError("request_stale", "the keys that ask are not those of the roster")
    previous, new = bytes.fromhex(request.previous), bytes.fromhex(request.signing)
    if roster.is_revoked(new) or request.signing == request.previous:
        raise ProtocolError("request_forged", "the new keys are none that can count")
    if not is_rotation(request.public, previous, request.proof):
        raise ProtocolError("request_forged", "the keys that the member has do not vouch for these")
    signature, proof = bytes.fromhex(request.signature), bytes.fromhex(request.proof)
    if not is_signed(signature, new, _REQUEST, previous, proof):
        raise ProtocolError("request_forged", "who asks does not have the new keys")
    return member


def keys_by_roster(roster: Roster, present: Identity, upcoming: Identity | None) -> Identity:
    """Return the keys that a member uses: the upcoming ones once its roster names them.

    The sealing key before them stays, and none before that: what is sealed to an older one is
    refused, and comes again sealed to the newest, since no sender has a receipt for it.
    """
    member = roster.find(present.name)
    if upcoming is None or member is None or member.public != upcoming.public:
        return present
    if upcoming.public == present.public:
        return present
    return replace(upcoming, retired=(present.sealing,))
