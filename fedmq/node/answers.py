"""Answers: what a node says to a request, one message each, under an id that its request gives."""

import hashlib
from collections.abc import Callable
from typing import Final

import structlog

from fedmq.messages.envelope import Envelope
from fedmq.messages.registry import Body
from fedmq.messages.replies import Failure, FailureCode, Refusal, RefusalCode
from fedmq.node.audit import AuditLog
from fedmq.node.audit_words import decision_of, incident_of
from fedmq.transport.courier import Courier
from fedmq.transport.routes import from_node
from fedmq.types import NodeId

_MAX_ID: Final = 180
"""Longer ids of requests are hashed, so that the reply's is not too long."""

log = structlog.get_logger()


class Answers:
    """The replies of one node. All methods are called within a transaction of the courier."""

    def __init__(
        self,
        node: NodeId,
        courier: Courier,
        *,
        audit: AuditLog,
        keep_incident: Callable[[bytes], None],
        make_incident: Callable[[], str],
    ) -> None:
        self._node = node
        self._courier = courier
        self._audit = audit
        self._keep_incident = keep_incident
        self._make_incident = make_incident

    def give(self, envelope: Envelope, body: Body, *, again: bool = False) -> None:
        """Answer a request; `again`: after the operator decided, what was answered before."""
        message = self._courier.write(
            body,
            reply_id(envelope, again=again),
            envelope.sender,
            envelope.place,
            answers=envelope,
        )
        self._courier.post(message, from_node(self._node, envelope.experiment))

    def refuse(self, envelope: Envelope, code: RefusalCode, *, again: bool = False) -> None:
        """Answer that the policy says no."""
        self._audit.note(decision_of(envelope, code))
        self.give(envelope, Refusal(code=code, request_type=envelope.type), again=again)
        log.info(
            "request_refused",
            kind=envelope.type,
            experiment=envelope.experiment,
            round=envelope.round,
            code=str(code),
        )

    def fail(
        self, envelope: Envelope, code: FailureCode, what: str, *, again: bool = False
    ) -> None:
        """Answer that something broke; `what` stays on the site, beside the incident's id."""
        incident = self._make_incident()
        self._audit.note(incident_of(envelope, code, incident))
        body = Failure(code=code, request_type=envelope.type, incident=incident)
        self.give(envelope, body, again=again)
        words = f"{incident} {envelope.message_id} {code}: {what}"
        self._keep_incident(" ".join(words.split()).encode(errors="replace") + b"\n")
        log.warning(
            "task_failed",
            kind=envelope.type,
            experiment=envelope.experiment,
            round=envelope.round,
            code=str(code),
            incident=incident,
        )


def reply_id(envelope: Envelope, *, again: bool = False) -> str:
    """Return the id of the reply to a request: the same whenever and however often it is made."""
    request_id = envelope.message_id
    if len(request_id) > _MAX_ID:
        request_id = hashlib.sha256(request_id.encode()).hexdigest()
    return f"{request_id}.reply.again1" if again else f"{request_id}.reply"
