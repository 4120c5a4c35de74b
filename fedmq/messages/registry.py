"""Every message of the protocol, in one tuple: what is not here is refused by its type."""

from typing import Final

from fedmq.messages.fields import Manifest
from fedmq.messages.notices import (
    ExperimentOver,
    Heartbeat,
    Hello,
    NodeOnline,
    Overview,
    Receipt,
    RosterNotice,
    Welcome,
)
from fedmq.messages.payloads import Chunk, ResendRequest
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    PingReply,
    PrepareReply,
    Refusal,
    TrainReply,
)
from fedmq.messages.requests import (
    CancelRequest,
    EvaluateRequest,
    PingRequest,
    PrepareRequest,
    TrainRequest,
)
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    NodesReport,
    OrderReport,
    Query,
    Rejection,
    ReportList,
    Submission,
)

Body = (
    PrepareRequest
    | TrainRequest
    | EvaluateRequest
    | CancelRequest
    | PingRequest
    | PrepareReply
    | TrainReply
    | EvaluateReply
    | PingReply
    | Refusal
    | Failure
    | Receipt
    | NodeOnline
    | Hello
    | Welcome
    | Heartbeat
    | Overview
    | RosterNotice
    | ExperimentOver
    | Submission
    | Acceptance
    | Rejection
    | Query
    | ExperimentReport
    | ReportList
    | NodesReport
    | OrderReport
    | Chunk
    | ResendRequest
)

BODIES: Final[tuple[type[Body], ...]] = Body.__args__
BODY_OF_TYPE: Final[dict[str, type[Body]]] = {body.TYPE: body for body in BODIES}

ANSWERED: Final = (
    PrepareRequest,
    TrainRequest,
    EvaluateRequest,
    PingRequest,
    Submission,
    Query,
)
"""What is answered as a rule; the answer names it."""


def payload_of(body: Body) -> Manifest | None:
    """Return the payload without which a message is not whole."""
    match body:
        case TrainRequest(parameters=manifest) | EvaluateRequest(parameters=manifest):
            return manifest
        case TrainReply(update=manifest) | Submission(initial=manifest):
            return manifest
        case _:
            return None
