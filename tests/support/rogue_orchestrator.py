"""`fedmq orchestrator start`, taken over: it has the keys, and asks for more than was ordered.

What it changes, FEDMQ_ROGUE says: `rounds` orders one more than the researcher did; `forged` does
so too and signs with the orchestrator's own keys, in the researcher's name.
"""

import os

from fedmq.cli.main import main
from fedmq.hub.keyring import KeptWire
from fedmq.messages.codec import Message
from fedmq.messages.mandates import Mandate
from fedmq.messages.requests import PrepareRequest
from fedmq.security.mandates import sign_order

write_as_ordered = KeptWire.seal


def seal(wire: KeptWire, message: Message, readers: tuple[str, ...] = ()) -> bytes:
    """Return the bytes of a message; a question is about another order."""
    body = message.body
    if isinstance(body, PrepareRequest):
        order = body.mandate.order
        spec = order.spec.model_copy(update={"num_rounds": order.spec.num_rounds + 1})
        more = order.model_copy(update={"spec": spec})
        mandate = Mandate(content=more.model_dump_json(), signature=body.mandate.signature)
        if os.environ["FEDMQ_ROGUE"] == "forged":
            mandate = sign_order(more, wire.identity, wire.roster)
        other = body.model_copy(update={"mandate": mandate})
        message = Message(envelope=message.envelope, body=other, data=message.data)
    return write_as_ordered(wire, message, readers)


KeptWire.seal = seal  # type: ignore[method-assign,assignment]
main()
