"""Is a message what it says: who sent it, for whom, and was it theirs to send? Pure."""

from typing import Final

from fedmq.errors import ProtocolError
from fedmq.messages.envelope import Envelope
from fedmq.transport.ports import Delivery
from fedmq.transport.routes import is_own_queue, sender_word
from fedmq.transport.topology import SENDERS
from fedmq.types import NOWHERE, Role

CARBON_COPY: Final = "CC"
"""The header with further keys that is left on a message; of BCC only the wrong queue is left."""


def require_genuine(
    envelope: Envelope,
    delivery: Delivery,
    *,
    me: str,
    role: Role | None,
) -> None:
    """Return if broker, key and roster agree on the sender, who may write here, and to `me`.

    `role` is the sender's by the roster, None where there is no roster. The wire has looked at the
    signature: this is the second lock, for what a signature does not say.

    Raises:
        ProtocolError: no_user_id, forged_sender, carbon_copy, wrong_role or wrong_recipient.
    """
    sender = delivery.properties.user_id
    if not sender:
        raise ProtocolError("no_user_id")
    word = sender_word(delivery.exchange, delivery.routing_key)
    if sender != envelope.sender or (word is not None and word != sender):
        raise ProtocolError("forged_sender")
    if CARBON_COPY in delivery.properties.headers or not is_own_queue(delivery):
        raise ProtocolError("carbon_copy", "the message was sent to more than its key says")
    if role is not None and role not in SENDERS.get(delivery.exchange, frozenset()):
        raise ProtocolError("wrong_role", f"no {role} writes to {delivery.exchange}")
    if envelope.recipient not in {me, NOWHERE}:
        raise ProtocolError("wrong_recipient")
