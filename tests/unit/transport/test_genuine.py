"""Is a message what it says: every second lock behind the signature, each by itself."""

import pytest

from fedmq.errors import ProtocolError
from fedmq.messages.envelope import Envelope
from fedmq.transport import topology
from fedmq.transport.genuine import require_genuine
from fedmq.transport.ports import Delivery, Properties
from fedmq.types import Role

LYON, LUNG = "chu-lyon", "lung-1"


def envelope(**changes: str) -> Envelope:
    """Return the envelope of Lyon's answer."""
    words = {"sender": LYON, "recipient": "orchestrator", "experiment": LUNG}
    return Envelope(type="prepare.reply", message_id="m", sent_at=1.0, **(words | changes))


def delivery(
    key: str = f"{LYON}.{LUNG}@orchestrator.control",
    queue: str = f"experiment.{LUNG}@orchestrator.replies",
    user: str = LYON,
    exchange: str = topology.REPLIES,
    headers: dict[str, str] | None = None,
) -> Delivery:
    """Return how it came."""
    return Delivery(
        queue=queue,
        exchange=exchange,
        routing_key=key,
        body=b"",
        properties=Properties(user_id=user, headers=headers or {}),
        redelivered=False,
        tag=1,
        connection=1,
    )


def reason_of(made: Envelope, came: Delivery, role: Role | None = Role.NODE) -> str:
    """Return why it is turned away, empty if it is not."""
    try:
        require_genuine(made, came, me="orchestrator", role=role)
    except ProtocolError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(
    ("made", "came", "reason"),
    [
        (envelope(), delivery(), ""),
        (envelope(recipient="-"), delivery(), ""),
        (envelope(), delivery(queue=f"experiment.{LUNG}@orchestrator.payloads"), ""),
        (
            envelope(),
            delivery(key=f"{LYON}.-@orchestrator.control", queue="orchestrator.orchestrator.inbox"),
            "",
        ),
        (envelope(), delivery(user=""), "no_user_id"),
        (envelope(), delivery(user="ghu-paris"), "forged_sender"),
        (envelope(sender="ghu-paris"), delivery(), "forged_sender"),
        (envelope(), delivery(key=f"ghu-paris.{LUNG}@orchestrator.control"), "forged_sender"),
        (envelope(recipient="second"), delivery(), "wrong_recipient"),
        # CC stays in the headers; of BCC the broker leaves only that the queue is not the key's.
        (envelope(), delivery(headers={"CC": ""}), "carbon_copy"),
        (envelope(), delivery(queue="experiment.liver-2@orchestrator.replies"), "carbon_copy"),
        (envelope(), delivery(queue="orchestrator.orchestrator.inbox"), "carbon_copy"),
        (envelope(), delivery(key=f"{LYON}.-@orchestrator.control"), "carbon_copy"),
    ],
)
def test_sender_key_queue_and_recipient_have_to_agree(
    made: Envelope, came: Delivery, reason: str
) -> None:
    """Each of them alone is enough to be turned away."""
    assert reason_of(made, came) == reason


@pytest.mark.parametrize("exchange", topology.SENDERS)
@pytest.mark.parametrize("role", [Role.NODE, Role.RESEARCHER, Role.ORCHESTRATOR])
def test_each_exchange_has_its_writers_whatever_the_broker_allows(
    exchange: str, role: Role
) -> None:
    """Rights at the broker may be set wrong."""
    key = (
        f"{LUNG}.{LYON}.x" if exchange == topology.EVENTS else f"{LYON}.{LUNG}@orchestrator.control"
    )
    reason = reason_of(envelope(), delivery(exchange=exchange, key=key), role)
    assert reason == ("" if role in topology.SENDERS[exchange] else "wrong_role")
