"""Joining a federation: invitation, request and answer, as text for people and programs.

The hub invites: a token with the way to its broker, the key of its governance and a secret. The
site makes its keys, and asks with their public halves; the secret, sealed to the governance and
bound to exactly these keys, proves the invitation. The hub's operator compares fingerprints and
answers with a roster that has the new member in it, and with what it needs to log in.
"""

import base64
import hashlib
import zlib
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pydantic import Field, ValidationError

from fedmq.errors import ConfigurationError, ProtocolError
from fedmq.messages.fields import Id, LongText, Seconds, Value, Word
from fedmq.messages.notices import RosterNotice
from fedmq.security.identities import Identity, PublicIdentity, is_signed, joined
from fedmq.security.roster import KeyHex, SignatureHex
from fedmq.security.sealing import SUITE
from fedmq.types import Role

SECRET_BYTES: Final = 32
TOKEN_HOURS: Final = 24.0
JOINER: Final = "join-"
"""Before the name of a member: the login of who wants to become it."""
_MAX_TOKEN_BYTES: Final = 65_536
_PREFIX: Final = "fedmq-join-1."
_REQUEST: Final = b"join request"
_ANSWER: Final = b"join answer"
_PASSWORD: Final = b"join password"
_NEW_PASSWORD: Final = b"new password"
Pem = Annotated[str, Field(max_length=8_192)]
Sealed = Annotated[str, Field(max_length=1_024, pattern=r"^[0-9a-f]*$")]


class Way(Value):
    """A way to the broker: address and what is shown there."""

    url: LongText
    authority: Pem = ""
    """The certificate of who vouches for the broker; empty where there is no TLS."""
    certificate: Pem = ""
    key: Annotated[Pem, Field(repr=False)] = ""
    password: Annotated[LongText, Field(repr=False)] = ""


class JoinToken(Value):
    """An invitation, for one site and once."""

    federation: Id
    name: Id
    role: Annotated[Role, Word]
    way: Way
    """For a login that can ask to join, and nothing else."""
    governance: KeyHex
    """Ed25519: who signs rosters."""
    mailbox: KeyHex
    """X25519: to whom the secret is sealed."""
    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    expires_at: Seconds

    @property
    def text(self) -> str:
        """One word, to be handed over."""
        packed = zlib.compress(self.model_dump_json().encode(), 9)
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


class JoinRequest(Value):
    """Who wants to join, with the public halves of keys that never leave the site."""

    name: Id
    role: Annotated[Role, Word]
    signing: KeyHex
    sealing: KeyHex
    certificate_request: Pem
    """Empty where the broker wants a password."""
    invitation: Sealed
    """The token's secret, sealed to the hub and bound to all of the above."""
    signature: SignatureHex

    @property
    def public(self) -> PublicIdentity:
        """The keys, with their fingerprint."""
        return PublicIdentity(
            name=self.name,
            role=self.role,
            signing=bytes.fromhex(self.signing),
            sealing=bytes.fromhex(self.sealing),
        )


class JoinAnswer(Value):
    """What makes a member of who asked, as the governance signed it for that request."""

    url: LongText
    authority: Pem
    certificate: Pem
    password: Sealed
    """Sealed to the new member; empty where it has a certificate."""
    roster: RosterNotice
    signature: SignatureHex


class NewPassword(Value):
    """Another password of a member for a broker that wants one, as the governance signed it."""

    name: Id
    password: Sealed
    signature: SignatureHex


def read_token(text: str) -> JoinToken:
    """Return the invitation that somebody was handed.

    Raises:
        ConfigurationError: it is none, or not whole.
    """
    before, _, word = "".join(text.split()).partition(_PREFIX)
    padded = (before or word) + "=" * (-len(word) % 4)  # what stands before it is no base64
    try:
        packed = base64.b64decode(padded, altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, _MAX_TOKEN_BYTES)
        found = JoinToken.model_validate_json(content if unpacker.eof else b"")
    except (ValueError, zlib.error, ValidationError) as error:
        raise ConfigurationError(
            "this is no join token, or not all of it",
            why=f"a token is one long word that begins with {_PREFIX}",
            fix="copy it whole, or use the file that the hub's operator sent",
        ) from error
    return found


def hash_secret(secret: str) -> str:
    """Return what the hub keeps of a token's secret, which is random: it needs no salt."""
    return hashlib.sha256(b"fedmq join token\0" + bytes.fromhex(secret)).hexdigest()


def make_join_request(
    token: JoinToken, identity: Identity, certificate_request: str
) -> JoinRequest:
    """Return the request of an identity that was invited by `token`."""
    public = identity.public
    words = _words(public, certificate_request)
    mailbox = X25519PublicKey.from_public_bytes(bytes.fromhex(token.mailbox))
    sealed = SUITE.encrypt(bytes.fromhex(token.secret), mailbox, info=joined(_REQUEST, words))
    return JoinRequest(
        name=public.name,
        role=public.role,
        signing=public.signing.hex(),
        sealing=public.sealing.hex(),
        certificate_request=certificate_request,
        invitation=sealed.hex(),
        signature=identity.sign(_REQUEST, *words, sealed).hex(),
    )


def open_invitation(request: JoinRequest, governance: Identity) -> str:
    """Return the secret of the token by which somebody asks.

    Raises:
        ProtocolError: request_forged; the secret was not sealed for these keys, or who asks does
            not have them.
    """
    words = _words(request.public, request.certificate_request)
    sealed = bytes.fromhex(request.invitation)
    signature = bytes.fromhex(request.signature)
    if not is_signed(signature, request.public.signing, _REQUEST, *words, sealed):
        raise ProtocolError("request_forged", "who asks does not have the keys of the request")
    key = X25519PrivateKey.from_private_bytes(governance.sealing)
    try:
        return SUITE.decrypt(sealed, key, info=joined(_REQUEST, words)).hex()
    except (InvalidTag, ValueError) as error:
        raise ProtocolError("request_forged", "the invitation was for other keys") from error


def make_join_answer(  # noqa: PLR0913 - what makes a member
    request: JoinRequest,
    governance: Identity,
    *,
    url: str,
    authority: str,
    certificate: str,
    password: str,
    roster: RosterNotice,
) -> JoinAnswer:
    """Return the answer to a request; `password` is sealed to who asked, and may be empty."""
    sealed = seal_password(password, request.public) if password else ""
    words = _answer_words(request, (url, authority, certificate, sealed), roster)
    return JoinAnswer(
        url=url,
        authority=authority,
        certificate=certificate,
        password=sealed,
        roster=roster,
        signature=governance.sign(_ANSWER, *words).hex(),
    )


def require_answer(answer: JoinAnswer, request: JoinRequest, governance: bytes) -> None:
    """Return if the governance of this signing key gave the answer, to this very request.

    Without it whoever may write to the site's queue, or handles the file, could name another broker
    and another authority to a site that believes the roster in it.

    Raises:
        ProtocolError: answer_forged.
    """
    parts = (answer.url, answer.authority, answer.certificate, answer.password)
    words = _answer_words(request, parts, answer.roster)
    if not is_signed(bytes.fromhex(answer.signature), governance, _ANSWER, *words):
        raise ProtocolError("answer_forged", "the federation's governance has not signed it")


def _answer_words(
    request: JoinRequest, parts: tuple[str, ...], roster: RosterNotice
) -> tuple[bytes, ...]:
    """Return what is signed; the request's signature stands for all of the request."""
    asked, signed = bytes.fromhex(request.signature), bytes.fromhex(roster.signature)
    return (asked, *(part.encode() for part in parts), roster.content.encode(), signed)


def seal_password(password: str, member: PublicIdentity) -> str:
    """Return a password that only the new member reads, in hexadecimal."""
    reader = X25519PublicKey.from_public_bytes(member.sealing)
    return SUITE.encrypt(password.encode(), reader, info=_to(member)).hex()


def open_password(sealed: str, identity: Identity) -> str:
    """Return the password that the hub sealed.

    Raises:
        ProtocolError: seal_broken; it is for somebody else.
    """
    key = X25519PrivateKey.from_private_bytes(identity.sealing)
    try:
        return SUITE.decrypt(bytes.fromhex(sealed), key, info=_to(identity.public)).decode()
    except (InvalidTag, ValueError) as error:
        raise ProtocolError("seal_broken", "the password is for somebody else") from error


def make_new_password(password: str, member: PublicIdentity, governance: Identity) -> NewPassword:
    """Return a password that only the member reads, with the governance's word for it."""
    sealed = seal_password(password, member)
    words = (member.name.encode(), bytes.fromhex(sealed))
    signature = governance.sign(_NEW_PASSWORD, *words).hex()
    return NewPassword(name=member.name, password=sealed, signature=signature)


def read_new_password(given: NewPassword, identity: Identity, governance: bytes) -> str:
    """Return the password that the governance of this signing key gave a member.

    Raises:
        ProtocolError: answer_forged; or seal_broken: it is for somebody else.
    """
    words = (given.name.encode(), bytes.fromhex(given.password))
    if not is_signed(bytes.fromhex(given.signature), governance, _NEW_PASSWORD, *words):
        raise ProtocolError("answer_forged", "the federation's governance has not signed it")
    return open_password(given.password, identity)


def _to(member: PublicIdentity) -> bytes:
    return joined(_PASSWORD, [member.name.encode()])


def _words(public: PublicIdentity, certificate_request: str) -> tuple[bytes, ...]:
    return (
        public.name.encode(),
        public.role.encode(),
        public.signing,
        public.sealing,
        certificate_request.encode(),
    )
