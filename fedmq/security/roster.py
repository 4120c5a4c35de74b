"""The roster: who belongs to a federation, with which keys and role, signed by its governance.

Every member has the key of the governance from the day it joined, and takes a roster from whoever
brings it, if the signature holds and the version is newer. Exact bytes are signed, and kept; their
hash stands beside the version in every message, so that two rosters of one version are found out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

from pydantic import Field, ValidationError

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.messages.fields import Id, Seconds, ShortText, Value, Word
from fedmq.messages.notices import MAX_ROSTER_CHARS, RosterNotice
from fedmq.security.identities import (
    Identity,
    PublicIdentity,
    digest_of,
    fingerprint,
    is_signed,
    readable,
)
from fedmq.types import Role

KeyHex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SignatureHex = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
_PURPOSE: Final = b"roster"
_ROTATION: Final = b"rotation"


MAX_LINE: Final = 100


class Earlier(Value):
    """Keys that a member had, with the word of those before them."""

    signing: KeyHex
    sealing: KeyHex
    previous: KeyHex
    proof: SignatureHex


class Enrolled(Value):
    """One member, as the governance vouches for it."""

    name: Id
    role: Annotated[Role, Word]
    signing: KeyHex
    sealing: KeyHex
    previous: KeyHex | None = None
    """The signing key before this one: what it signed may still be on its way."""
    proof: SignatureHex | None = None
    """The previous key's signature over this one: the owner of both is the same."""
    line: Annotated[list[Earlier], Field(max_length=MAX_LINE)] = Field(default_factory=list)
    """The keys before these, newest first: who was away for several changes follows them all."""

    @property
    def public(self) -> PublicIdentity:
        """The member's keys."""
        return PublicIdentity(
            name=self.name,
            role=self.role,
            signing=bytes.fromhex(self.signing),
            sealing=bytes.fromhex(self.sealing),
        )

    @property
    def signing_keys(self) -> tuple[bytes, ...]:
        """The keys whose signatures count, the newest first."""
        keys = [self.signing] if self.previous is None else [self.signing, self.previous]
        return tuple(bytes.fromhex(key) for key in keys)

    @property
    def all_signing_keys(self) -> tuple[bytes, ...]:
        """All keys that the member has had, the newest first: for what outlives messages."""
        return (*self.signing_keys, *(bytes.fromhex(one.previous) for one in self.line))

    def follows(self, earlier: "Enrolled") -> bool:
        """Return whether the earlier keys vouch for these, or for some that vouch for these."""
        if self.public == earlier.public:
            return True
        if self.role is not earlier.role:
            return False
        wanted = self.signing
        for public, previous, proof in self._generations():
            if public.signing.hex() != wanted or not is_rotation(public, previous, proof):
                return False
            if previous.hex() == earlier.signing:
                return True
            wanted = previous.hex()
        return False

    def _generations(self) -> Iterator[tuple[PublicIdentity, bytes, str]]:
        """Yield keys with the signing key before them and its word, the newest first."""
        if self.previous is None or self.proof is None:
            return
        yield self.public, bytes.fromhex(self.previous), self.proof
        for one in self.line:
            public = PublicIdentity(
                name=self.name,
                role=self.role,
                signing=bytes.fromhex(one.signing),
                sealing=bytes.fromhex(one.sealing),
            )
            yield public, bytes.fromhex(one.previous), one.proof


class Revoked(Value):
    """Keys that count no more, whatever they sign."""

    name: Id
    signing: KeyHex
    version: Annotated[int, Field(ge=1)]
    """Of the first roster without them."""
    reason: ShortText


class Roster(Value):
    """The members of a federation."""

    federation: Id
    version: Annotated[int, Field(ge=1)]
    issued_at: Seconds
    members: Annotated[list[Enrolled], Field(max_length=10_000)]
    revoked: Annotated[list[Revoked], Field(max_length=100_000)] = Field(default_factory=list)

    def find(self, name: str) -> Enrolled | None:
        """Return the member of this name."""
        return self._by_name.get(name)

    def of_role(self, role: Role) -> tuple[Enrolled, ...]:
        """Return the members with a role."""
        return tuple(member for member in self.members if member.role is role)

    def is_revoked(self, signing: bytes) -> bool:
        """Return whether a signing key was revoked."""
        return signing.hex() in self._revoked_keys

    @cached_property
    def _by_name(self) -> dict[str, Enrolled]:
        return {member.name: member for member in self.members}

    @cached_property
    def _revoked_keys(self) -> frozenset[str]:
        return frozenset(one.signing for one in self.revoked)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRoster:
    """A roster as its exact bytes, and the governance's signature over them."""

    content: str
    signature: bytes

    @property
    def hash(self) -> str:
        """The SHA-256 of the signed bytes, in hexadecimal: one version has one hash everywhere."""
        return digest_of(_PURPOSE, self.content).hex()

    @property
    def fingerprint(self) -> str:
        """The beginning of the hash, as people compare it: eight groups of five."""
        return readable(bytes.fromhex(self.hash))

    @property
    def notice(self) -> RosterNotice:
        """The message that brings it."""
        return RosterNotice(content=self.content, signature=self.signature.hex())


def read_notice(notice: RosterNotice) -> SignedRoster:
    """Return what a message brought."""
    return SignedRoster(content=notice.content, signature=bytes.fromhex(notice.signature))


def sign_roster(roster: Roster, governance: Identity) -> SignedRoster:
    """Return the roster, signed.

    Raises:
        ConfigurationError: no message holds it; a member takes about 200 bytes, its first change of
            keys as many again and each later one twice as many.
    """
    # What is as always is left out: programs from before a field was there read the rest.
    content = roster.model_dump_json(exclude_defaults=True)
    if len(content) > MAX_ROSTER_CHARS:
        raise ConfigurationError(
            f"a roster of {len(roster.members)} members is too long to be brought to them",
            why=f"it has {len(content)} characters, and a message holds {MAX_ROSTER_CHARS}",
            fix="the hub's operator: a federation of its own for further members",
        )
    return SignedRoster(content=content, signature=governance.sign(_PURPOSE, content.encode()))


def open_roster(signed: SignedRoster, governance: bytes) -> Roster:
    """Return the roster that the owner of the governance's key signed.

    Raises:
        ProtocolError: roster_forged, roster_invalid.
    """
    if not is_signed(signed.signature, governance, _PURPOSE, signed.content.encode()):
        raise ProtocolError("roster_forged", "the federation's governance did not sign this roster")
    try:
        roster = Roster.model_validate_json(signed.content)
    except ValidationError as error:
        raise ProtocolError("roster_invalid", f"{error.error_count()} of its fields") from None
    if len({member.name for member in roster.members}) != len(roster.members):
        raise ProtocolError("roster_invalid", "two members have one name")
    return roster


def governance_fingerprint(key: bytes) -> str:
    """Return the fingerprint of a federation's governance."""
    return fingerprint(b"governance", key)


def sign_rotation(new: PublicIdentity, earlier: Identity) -> str:
    """Return the earlier key's word, in hexadecimal, that `new` are its owner's next keys."""
    return earlier.sign(_ROTATION, *_words(new)).hex()


def is_rotation(new: PublicIdentity, earlier: bytes, proof: str) -> bool:
    """Return whether the owner of the signing key `earlier` says that `new` are its next keys."""
    return is_signed(bytes.fromhex(proof), earlier, _ROTATION, *_words(new))


def unproven(earlier: Roster, later: Roster, role: Role) -> tuple[Enrolled, ...]:
    """Return the members of a role whose keys changed and whose earlier keys do not say so.

    A governance that was taken over could put its own keys in the place of the orchestrator's: who
    trusted the earlier ones asks a person before it trusts these.
    """
    return tuple(
        member
        for member in later.of_role(role)
        if not any(member.follows(known) for known in earlier.of_role(role))
    )


def restrict_roster(accepted: Roster, held: Roster) -> Roster:
    """Return the roster that somebody accepted, less all that a newer one takes away.

    The newer one waits for a person's word, and so does all that it adds or changes: who has other
    keys there goes on with those of the accepted one. But who is not there, in the same role, and
    keys that were revoked there count no more, nor is anything sealed to their owner. Nothing is
    believed by that which would not be believed without it; the version stays the accepted one's.
    """
    if held.version <= accepted.version or held.federation != accepted.federation:
        return accepted
    earlier = [one for one in accepted.revoked if not held.is_revoked(bytes.fromhex(one.signing))]
    return Roster(
        federation=accepted.federation,
        version=accepted.version,
        issued_at=accepted.issued_at,
        members=[member for member in accepted.members if _stays(member, held)],
        revoked=[*earlier, *held.revoked],
    )


def _stays(member: Enrolled, held: Roster) -> bool:
    known = held.find(member.name)
    is_named = known is not None and known.role is member.role
    return is_named and not held.is_revoked(member.public.signing)


def enrolled(public: PublicIdentity) -> Enrolled:
    """Return a member with its first keys."""
    return Enrolled(
        name=public.name,
        role=public.role,
        signing=public.signing.hex(),
        sealing=public.sealing.hex(),
    )


def with_member(roster: Roster, new: Enrolled, *, at: float) -> Roster:
    """Return the next roster, with a member added or in the place of the one of its name."""
    kept = [member for member in roster.members if member.name != new.name]
    return _next(roster, [*kept, new], roster.revoked, at=at)


def with_next_keys(
    roster: Roster, new: PublicIdentity, proof: str, *, are_stolen: bool, at: float
) -> Roster:
    """Return the next roster, in which a member has its next keys, for which its keys vouch.

    Those that were stolen count no more from there on, whatever they sign.
    """
    known = roster.find(new.name)
    if known is None:
        raise ProtocolError("unknown_member", f"{new.name} is not in roster {roster.version}")
    line = list(known.line)
    if known.previous is not None and known.proof is not None:
        last = Earlier(
            signing=known.signing,
            sealing=known.sealing,
            previous=known.previous,
            proof=known.proof,
        )
        line = [last, *line][:MAX_LINE]
    member = enrolled(new).model_copy(
        update={"previous": known.signing, "proof": proof, "line": line}
    )
    kept = [one for one in roster.members if one.name != new.name]
    reason = "stolen, and changed for others"
    stolen = known.all_signing_keys if are_stolen else ()
    return _next(
        roster,
        [*kept, member],
        [*roster.revoked, *_revoked(roster, known.name, stolen, reason)],
        at=at,
    )


def without_earlier_keys(roster: Roster, name: str, *, at: float) -> Roster:
    """Return the next roster, in which all keys that a member had before these are revoked."""
    member = roster.find(name)
    keys = () if member is None else member.all_signing_keys[1:]
    reason = "stolen, and changed for others"
    return _next(
        roster, roster.members, [*roster.revoked, *_revoked(roster, name, keys, reason)], at=at
    )


def without_member(roster: Roster, name: str, reason: str, *, at: float) -> Roster:
    """Return the next roster, without a member, whose keys count no more."""
    gone = roster.find(name)
    kept = [member for member in roster.members if member.name != name]
    keys = () if gone is None else gone.all_signing_keys
    return _next(roster, kept, [*roster.revoked, *_revoked(roster, name, keys, reason)], at=at)


def _revoked(roster: Roster, name: str, keys: Iterable[bytes], reason: str) -> list[Revoked]:
    return [
        Revoked(name=name, signing=key.hex(), version=roster.version + 1, reason=reason)
        for key in keys
        if not roster.is_revoked(key)
    ]


def _next(
    roster: Roster, members: Iterable[Enrolled], revoked: list[Revoked], *, at: float
) -> Roster:
    return Roster(
        federation=roster.federation,
        version=roster.version + 1,
        issued_at=at,
        members=sorted(members, key=lambda member: member.name),
        revoked=revoked,
    )


def _words(identity: PublicIdentity) -> tuple[bytes, ...]:
    return (
        identity.name.encode(),
        identity.role.encode(),
        identity.signing,
        identity.sealing,
    )
