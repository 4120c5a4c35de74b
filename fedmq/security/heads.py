"""Heads of audit logs, countersigned: who keeps a head says so, for anybody to verify later."""

from typing import Final

from fedmq.messages.heads import SignedHead, ToldHead
from fedmq.security.identities import Identity, is_signed
from fedmq.security.roster import Roster
from fedmq.types import Role

_PURPOSE: Final = b"audit head"
_INTEGER_BYTES: Final = 8


def statement(
    head: ToldHead | SignedHead, *, federation: str, node: str, at_ms: int
) -> tuple[bytes, ...]:
    """Return what is signed: whose log, which head of it, and when it was seen first."""
    return (
        federation.encode(),
        node.encode(),
        bytes.fromhex(head.log),
        head.number.to_bytes(_INTEGER_BYTES, "big"),
        bytes.fromhex(head.hash),
        at_ms.to_bytes(_INTEGER_BYTES, "big"),
    )


def sign_head(
    told: ToldHead, node: str, *, at_ms: int, identity: Identity, federation: str
) -> SignedHead:
    """Return a head of a node's log, signed."""
    words = statement(told, federation=federation, node=node, at_ms=at_ms)
    return SignedHead(
        log=told.log,
        number=told.number,
        hash=told.hash,
        at_ms=at_ms,
        signature=identity.sign(_PURPOSE, *words).hex(),
    )


def signing_key(head: SignedHead, node: str, *, by: str, roster: Roster) -> bytes | None:
    """Return the key of the orchestrator `by` that signed a head of a node's log; None: none did.

    Only keys count for which the roster vouches, as an orchestrator's.
    """
    member = roster.find(by)
    if member is None or member.role is not Role.ORCHESTRATOR:
        return None
    words = statement(head, federation=roster.federation, node=node, at_ms=head.at_ms)
    signature = bytes.fromhex(head.signature)
    for key in member.signing_keys:
        if not roster.is_revoked(key) and is_signed(signature, key, _PURPOSE, *words):
            return key
    return None
