"""The wire: messages signed by who sends them and sealed to who reads them, and opened again.

Signed are the exact bytes of header, keys and body; the bulk data of a chunk by its hash in the
body, which whoever keeps the chunk compares (`transport.spool`): it hashes the plain bytes anyway,
and what was altered on the way does not open at all. Sealed are the body and the data. Events are
signed only: whoever watches the federation reads them. A roster is not sealed, and its parcel need
not be signed: it carries the signature of the governance, and has to reach those who do not know
its bringer's new keys yet. Beside the roster's version a header has the roster's hash: who has
another roster of that version finds with the first message that the governance signed two.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from fedmq.errors import ProtocolError
from fedmq.messages.codec import (
    Message,
    Parcel,
    make_parcel,
    pack_keys,
    pack_parcel,
    read_body,
    read_header,
    read_keys,
    unpack_parcel,
)
from fedmq.messages.envelope import Envelope
from fedmq.messages.heads import SignedHead, ToldHead
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.notices import Heartbeat, NodeOnline, Overview, RosterNotice
from fedmq.messages.payloads import Chunk
from fedmq.security.heads import sign_head, signing_key
from fedmq.security.identities import Identity, is_signed
from fedmq.security.mandates import is_given, is_revoked, sign_order
from fedmq.security.roster import Enrolled, Roster
from fedmq.security.sealing import (
    KEY_BYTES,
    NONCE_BYTES,
    open_body,
    open_chunk,
    seal_body,
    seal_chunk,
    unwrap_key,
    wrap_key,
)
from fedmq.types import NOWHERE, Role

EVENTS: Final = frozenset({Heartbeat.TYPE, NodeOnline.TYPE, Overview.TYPE})
"""Types whose bodies everybody in the federation reads."""
K = TypeVar("K")
V = TypeVar("V")
_PURPOSE: Final = b"message"
_KEPT: Final = 4096
"""Wraps and content keys that are not made again for each chunk of a payload."""


class SealedWire:
    """The wire of one member, by its identity and the newest roster it knows."""

    def __init__(
        self,
        identity: Identity,
        roster: Roster,
        *,
        random: Callable[[int], bytes],
        roster_hash: str = NOWHERE,
    ) -> None:
        """`roster_hash`: of the roster as it was signed; without it none is compared."""
        self.identity = identity
        self.roster = roster
        self.roster_hash = roster_hash
        self._random = random
        self._wraps: OrderedDict[tuple[bytes, str, str], bytes] = OrderedDict()
        self._keys: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._shared: OrderedDict[frozenset[tuple[str, str]], bytes] = OrderedDict()

    @property
    def version(self) -> int:
        """The version of the roster."""
        return self.roster.version

    @property
    def newest(self) -> int:
        """The version of the roster: none waits here."""
        return self.version

    def role_of(self, name: str) -> Role | None:
        """Return what somebody is, None where nobody vouches for that.

        What this member is its own keys say, in whatever roster it is or is not.
        """
        if name == self.identity.name:
            return self.identity.role
        member = self.roster.find(name)
        return None if member is None else member.role

    def members(self, role: Role) -> Sequence[str]:
        """Return the names of the members with a role."""
        return [member.name for member in self.roster.of_role(role)]

    def seal(self, message: Message, readers: Collection[str] = ()) -> bytes:
        """Return the bytes of a message for its readers.

        Raises:
            ProtocolError: unknown_reader; the roster has no keys of a reader. Or the message is
                beyond the limits.
        """
        message = self._with_hash(message)
        parcel = make_parcel(message)
        if message.envelope.type not in {*EVENTS, RosterNotice.TYPE}:
            parcel = self._sealed(message, parcel, self._resolved(readers))
        signature = self.identity.sign(_PURPOSE, parcel.header, parcel.keys, parcel.body)
        return pack_parcel(replace(parcel, signature=signature))

    def open(self, encoded: bytes) -> Message:
        """Return the message, if its sender is a member who signed it and meant it for this one.

        Raises:
            ProtocolError: as the codec's; or unknown_sender, revoked_sender, bad_signature,
                roster_forked, not_sealed, wrong_recipient, seal_broken. Nothing else is raised.
        """
        parcel = unpack_parcel(encoded)
        envelope = read_header(parcel)
        if envelope.type == RosterNotice.TYPE:
            return Message(envelope=envelope, body=read_body(envelope, parcel.body))
        require_signature(parcel, envelope, self.roster)
        self._require_one_roster(envelope)
        wraps = read_keys(parcel)
        if not wraps:
            if envelope.type not in EVENTS:
                raise ProtocolError("not_sealed", "a message that only its reader may read is open")
            return Message(envelope=envelope, body=read_body(envelope, parcel.body))
        key = self._unwrapped(wraps, envelope.sender)
        body = read_body(envelope, open_body(parcel.body, key, header=parcel.header))
        data = b""
        if isinstance(body, Chunk):
            data = open_chunk(parcel.data, key, body)
        return Message(envelope=envelope, body=body, data=data)

    def sign(self, order: Order) -> Mandate:
        """Return this member's order, signed."""
        return sign_order(order, self.identity, self.roster)

    def is_given(self, mandate: Mandate) -> bool:
        """Return whether the researcher that a mandate names signed it, and still counts."""
        return is_given(mandate, self.roster)

    def is_revoked(self, mandate: Mandate) -> bool:
        """Return whether it is signed with a key of its researcher that was revoked."""
        return is_revoked(mandate, self.roster)

    def countersign(self, told: ToldHead, node: str, *, at_ms: int) -> SignedHead:
        """Return a head of a node's audit log, signed."""
        federation = self.roster.federation
        return sign_head(told, node, at_ms=at_ms, identity=self.identity, federation=federation)

    def is_countersigned(self, head: SignedHead, node: str, *, by: str) -> bool:
        """Return whether `by` signed a head of a node's audit log, as an orchestrator."""
        return signing_key(head, node, by=by, roster=self.roster) is not None

    def learn(self, notice: RosterNotice) -> None:
        """Keep the roster: nothing newer is taken here."""

    def notice(self) -> RosterNotice | None:
        """There is none for others."""
        return None

    def notices(self, *, beyond: int) -> Sequence[tuple[int, RosterNotice]]:  # noqa: ARG002 - port
        """There are none for others."""
        return ()

    def review(self) -> None:
        """Nothing else writes it."""

    def _with_hash(self, message: Message) -> Message:
        """Return a message that says of which bytes the roster is that it names."""
        if message.envelope.roster != self.version:
            return message
        update = {"roster_hash": self.roster_hash}
        return replace(message, envelope=message.envelope.model_copy(update=update))

    def _require_one_roster(self, envelope: Envelope) -> None:
        """Return if the sender's roster is this one, or of another version.

        Raises:
            ProtocolError: roster_forked; the governance signed two rosters of one version.
        """
        hashes = {self.roster_hash, envelope.roster_hash} - {NOWHERE}
        if envelope.roster == self.version and len(hashes) > 1:
            raise ProtocolError(
                "roster_forked",
                f"{envelope.sender} has another roster {self.version} than this program",
                why="the federation's governance signed two rosters of one version",
                fix="compare the roster's hash with the hub's operator: fedmq node roster",
            )

    def _sealed(self, message: Message, parcel: Parcel, readers: Collection[Enrolled]) -> Parcel:
        match message.body:
            case Chunk(manifest=manifest) as chunk:
                key = self.identity.payload_key(manifest)
                data = seal_chunk(message.data, key, chunk)
            case _:
                key, data = self._key_for(readers), b""
        wraps = {reader.name: self._wrapped(key, reader) for reader in readers}
        nonce = self._random(NONCE_BYTES)
        body = seal_body(parcel.body, key, header=parcel.header, nonce=nonce)
        return replace(parcel, keys=pack_keys(wraps), body=body, data=data)

    def _resolved(self, readers: Collection[str]) -> Collection[Enrolled]:
        """Return the readers with their keys."""
        found: dict[str, Enrolled] = {}
        for name in readers:
            member = self.roster.find(name)
            if member is not None:
                found[name] = member
        if not found:
            raise ProtocolError(
                "unknown_reader",
                f"there are no keys of {', '.join(readers) or 'anybody'} in the roster",
                why=f"roster {self.roster.version} does not have them",
                fix="the hub's operator: fedmq hub status",
            )
        return found.values()

    def _key_for(self, readers: Collection[Enrolled]) -> bytes:
        """Return the content key of this life for exactly these readers' keys.

        To wrap and unwrap one for each message takes longer than all the rest of it. A key is used
        for far fewer messages than random nonces allow (2^32), and no reader of another message,
        and nobody whose keys were changed, has it.
        """
        known = frozenset((reader.name, reader.sealing) for reader in readers)
        key = self._shared.get(known)
        if key is None:
            key = self._random(KEY_BYTES)
            _keep(self._shared, known, key)
        return key

    def _wrapped(self, key: bytes, reader: Enrolled) -> bytes:
        known = (key, reader.name, reader.sealing)
        wrap = self._wraps.get(known)
        if wrap is None:
            wrap = wrap_key(
                key,
                sender=self.identity.name,
                reader=reader.name,
                reader_key=bytes.fromhex(reader.sealing),
            )
            _keep(self._wraps, known, wrap)
        return wrap

    def _unwrapped(self, wraps: dict[str, bytes], sender: str) -> bytes:
        wrap = wraps.get(self.identity.name)
        if wrap is None:
            raise ProtocolError("wrong_recipient", "the message is sealed for others")
        known = (sender, wrap)
        key = self._keys.get(known)
        if key is None:
            key = unwrap_key(
                wrap, sender=sender, reader=self.identity.name, own_keys=self.identity.sealing_keys
            )
            _keep(self._keys, known, key)
        return key


def open_event(encoded: bytes, roster: Roster) -> Message:
    """Return an event, if its sender is a member who signed it; whoever watches may read it.

    Raises:
        ProtocolError: as `SealedWire.open`; or sealed: it is no event.
    """
    parcel = unpack_parcel(encoded)
    envelope = read_header(parcel)
    require_signature(parcel, envelope, roster)
    if parcel.keys or envelope.type not in EVENTS:
        raise ProtocolError("sealed", "only its readers read this message")
    return Message(envelope=envelope, body=read_body(envelope, parcel.body))


def require_signature(parcel: Parcel, envelope: Envelope, roster: Roster) -> None:
    """Return if the sender of a parcel is a member, and signed it with a key that counts.

    Raises:
        ProtocolError: unknown_sender, revoked_sender, bad_signature.
    """
    sender = envelope.sender
    member = roster.find(sender)
    if member is None:
        is_gone = any(one.name == sender for one in roster.revoked)
        reason = "revoked_sender" if is_gone else "unknown_sender"
        raise ProtocolError(reason, f"{sender} is not in roster {roster.version}")
    for key in member.signing_keys:
        if not roster.is_revoked(key) and is_signed(
            parcel.signature, key, _PURPOSE, parcel.header, parcel.keys, parcel.body
        ):
            return
    raise ProtocolError("bad_signature", f"{sender} did not sign this message")


def _keep(known: OrderedDict[K, V], key: K, value: V) -> None:
    known[key] = value
    if len(known) > _KEPT:
        known.popitem(last=False)
