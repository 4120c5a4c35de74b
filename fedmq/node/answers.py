"""Answers: what a node says to a request, one message each, under an id that its request gives."""

from collections.abc import Callable

import structlog

from fedmq.audit.heads import Heads
from fedmq.audit.log import AuditLog
from fedmq.messages.envelope import Envelope
from fedmq.messages.registry import Body
from fedmq.messages.replies import Answer, Failure, FailureCode, Refusal
from fedmq.node.audit_words import decision_of, incident_of
from fedmq.node.policy import Objection
from fedmq.node.tasks import task_id_of
from fedmq.transport.courier import Courier
from fedmq.transport.routes import from_node
from fedmq.types import NodeId

log = structlog.get_logger()


class Answers:
    """The replies of one node. All methods are called within a transaction of the courier."""

    def __init__(
        self,
        node: NodeId,
        courier: Courier,
        *,
        audit: AuditLog,
        heads: Heads,
        keep_incident: Callable[[bytes], None],
        make_incident: Callable[[], str],
    ) -> None:
        self._node = node
        self._courier = courier
        self._audit = audit
        self._heads = heads
        self._keep_incident = keep_incident
        self._make_incident = make_incident

    def give(self, envelope: Envelope, body: Body, *, before: int = 0) -> None:
        """Answer a request that was answered so often before: each time that it has to wait."""
        if isinstance(body, Answer):
            body = body.model_copy(update={"head": self._heads.tell()})
        message = self._courier.write(
            body,
            reply_id(envelope, before=before),
            envelope.sender,
            envelope.place,
            answers=envelope,
        )
        route = from_node(self._node, envelope.sender, envelope.experiment)
        self._courier.post(message, route)

    def refuse(self, envelope: Envelope, objection: Objection, *, before: int = 0) -> None:
        """Answer that the policy says no, or not yet."""
        code = objection.code
        self._audit.note(decision_of(envelope, code))
        body = Refusal(code=code, request_type=envelope.type, retry_at=objection.retry_at)
        self.give(envelope, body, before=before)
        log.info(
            "request_refused",
            kind=envelope.type,
            experiment=envelope.experiment,
            round=envelope.round,
            code=str(code),
        )

    def fail(self, envelope: Envelope, code: FailureCode, what: str, *, before: int = 0) -> None:
        """Answer that something broke; `what` stays on the site, beside the incident's id."""
        incident = self._note("task_failed", envelope, code, what)
        body = Failure(code=code, request_type=envelope.type, incident=incident)
        self.give(envelope, body, before=before)

    def keep_back(self, envelope: Envelope, code: str, what: str) -> None:
        """Record what a plan did in a task that goes on; nobody outside hears of it."""
        self._note("incident_recorded", envelope, code, what)

    def _note(self, event: str, envelope: Envelope, code: str, what: str) -> str:
        incident = self._make_incident()
        self._audit.note(incident_of(envelope, code, incident))
        words = f"{incident} {envelope.message_id} {code}: {what}"
        self._keep_incident(" ".join(words.split()).encode(errors="replace") + b"\n")
        log.warning(
            event,
            kind=envelope.type,
            experiment=envelope.experiment,
            round=envelope.round,
            code=str(code),
            incident=incident,
        )
        return incident


def reply_id(envelope: Envelope, *, before: int = 0) -> str:
    """Return the id of a reply to a request: the same whenever and however often it is made.

    One of its own for each of those that say that the request has to wait, and for each sender.
    """
    said = f"{task_id_of(envelope)}.reply"
    return f"{said}.again{before}" if before else said
