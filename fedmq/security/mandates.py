"""Mandates, signed and believed: who ordered an experiment, whoever passes the order on."""

from fedmq.messages.mandates import Mandate, Order
from fedmq.security.identities import Identity, is_signed
from fedmq.security.roster import Roster
from fedmq.types import Role

_PURPOSE = b"mandate"


def sign_order(order: Order, identity: Identity, roster: Roster) -> Mandate:
    """Return the order, signed by its researcher; it holds in the roster's federation alone."""
    content = order.model_dump_json()
    signature = identity.sign(_PURPOSE, roster.federation.encode(), content.encode())
    return Mandate(content=content, signature=signature.hex())


def is_given(mandate: Mandate, roster: Roster) -> bool:
    """Return whether the researcher that a mandate names is in the roster, and signed it."""
    member = roster.find(mandate.order.researcher)
    if member is None or member.role is not Role.RESEARCHER:
        return False
    return any(
        not roster.is_revoked(key) and _is_signed(mandate, key, roster)
        # An experiment may go on for longer than its researcher's keys last.
        for key in member.all_signing_keys
    )


def is_revoked(mandate: Mandate, roster: Roster) -> bool:
    """Return whether a key of its researcher signed it that was revoked: no roster brings it back.

    A roster that is newer than this one, and waits for a person's word, revokes in this one too.
    """
    name = mandate.order.researcher
    return any(
        one.name == name and _is_signed(mandate, bytes.fromhex(one.signing), roster)
        for one in roster.revoked
    )


def _is_signed(mandate: Mandate, key: bytes, roster: Roster) -> bool:
    parts = roster.federation.encode(), mandate.content.encode()
    return is_signed(bytes.fromhex(mandate.signature), key, _PURPOSE, *parts)
