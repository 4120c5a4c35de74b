"""What pika and RabbitMQ say of an end: does it pass, is it a refusal, and in short words."""

import ssl
import time
from typing import Final, TypeVar

from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorTransportSetupError

from fedmq.errors import FedmqError
from fedmq.transport.rabbitmq_certificates import certificate_words, is_revoked

_E = TypeVar("_E", bound=BaseException)
_MAX_TOLD: Final = 300
_MAX_KNOWN: Final = 1_000

_REFUSALS: Final = (
    exceptions.ProbableAuthenticationError,
    exceptions.ProbableAccessDeniedError,
    exceptions.AuthenticationError,
)
_ACCESS_REFUSED: Final = 403
_NOT_ALLOWED: Final = 530
_TOO_MANY: Final = "user connection limit"
"""Of RabbitMQ's words to a login that has all the connections that it may have."""
_INTERNAL_ERROR: Final = 541
"""What RabbitMQ says of a quorum queue that is electing its leader: true a moment later."""


def is_transient(reason: BaseException) -> bool:
    """Return whether the same is worth another try in a moment."""
    return getattr(reason, "reply_code", None) == _INTERNAL_ERROR


def is_refusal(reason: BaseException) -> bool:
    """Return whether the broker says no to this login, and not that it is away."""
    if _is_crowded(reason):
        return False
    if isinstance(reason, _REFUSALS) or is_taken_back(reason):
        return True
    causes = getattr(reason, "args", ())
    code = getattr(reason, "reply_code", None)
    return code in {_ACCESS_REFUSED, _NOT_ALLOWED} or any(
        isinstance(cause, _REFUSALS) for cause in causes
    )


def reason_of(reason: BaseException) -> str:
    """Return a short text of what pika says; the broker's own words where it gave some."""
    known = find_cause(reason, FedmqError)
    if known is not None:
        return str(known)[:_MAX_KNOWN]
    text = getattr(reason, "reply_text", None) or str(reason) or type(reason).__name__
    if _is_crowded(reason):
        text = (
            "this login has as many connections as it may have; those of a line that broke end with"
            " their heartbeats, and if others stay, somebody else may have its keys"
        )
    elif isinstance(reason, _REFUSALS):
        text = "the broker refuses the user, its password or the vhost"
    cause = find_cause(reason, OSError)
    if words := certificate_words(_all_words(reason), time.time()):
        text = words
    elif cause is not None:
        text = f"nobody answers at the broker's address: {cause.strerror or type(cause).__name__}"
    return str(text)[:_MAX_TOLD]


def is_taken_back(reason: BaseException) -> bool:
    """Return whether the broker says that this login's certificate counts no more."""
    return is_revoked(_all_words(reason))


def _all_words(reason: BaseException) -> str:
    return f"{reason} {find_cause(reason, OSError)}"


def is_of_tls(reason: BaseException) -> bool:
    """Return whether a connection stood and TLS on it did not."""
    return (
        find_cause(reason, ssl.SSLError) is not None
        or find_cause(reason, AMQPConnectorTransportSetupError) is not None
    )


def is_cut(reason: BaseException) -> bool:
    """Return whether a connection stood and ended without a word."""
    cause = find_cause(reason, OSError)
    if cause is None:
        return isinstance(reason, exceptions.AMQPConnectionError)
    return isinstance(cause, ConnectionResetError | BrokenPipeError | ssl.SSLError)


def _is_crowded(reason: BaseException) -> bool:
    """Return whether the broker has no more connections for this login, which passes."""
    return _TOO_MANY in f"{getattr(reason, 'reply_text', '')} {reason}"


def find_cause(reason: BaseException, kind: type[_E]) -> _E | None:
    """Return the error of a kind that is inside what pika says, None if there is none."""
    if isinstance(reason, kind):
        return reason
    # pika keeps the failures of its attempts inside one another, the newest one last.
    attempts = getattr(reason, "exceptions", ())
    for cause in (*reason.args, *attempts[-1:], getattr(reason, "exception", None)):
        found = find_cause(cause, kind) if isinstance(cause, BaseException) else None
        if found is not None:
            return found
    return None
