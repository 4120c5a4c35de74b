"""What pika and RabbitMQ say of an end: does it pass, is it a refusal, and in short words."""

import time
from typing import Final

from pika import exceptions

from fedmq.transport.rabbitmq_clocks import clock_words

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
    if isinstance(reason, _REFUSALS):
        return True
    causes = getattr(reason, "args", ())
    code = getattr(reason, "reply_code", None)
    return code in {_ACCESS_REFUSED, _NOT_ALLOWED} or any(
        isinstance(cause, _REFUSALS) for cause in causes
    )


def reason_of(reason: BaseException) -> str:
    """Return a short text of what pika says; the broker's own words where it gave some."""
    text = getattr(reason, "reply_text", None) or str(reason) or type(reason).__name__
    if _is_crowded(reason):
        text = (
            "this login has as many connections as it may have; those of a line that broke end with"
            " their heartbeats, and if others stay, somebody else may have its keys"
        )
    elif isinstance(reason, _REFUSALS):
        text = "the broker refuses the user, its password or the vhost"
    cause = _system_error(reason)
    if words := clock_words(f"{reason} {cause}", time.time()):
        text = words
    elif cause is not None:
        text = f"nobody answers at the broker's address: {cause.strerror or type(cause).__name__}"
    return str(text)[:300]


def _is_crowded(reason: BaseException) -> bool:
    """Return whether the broker has no more connections for this login, which passes."""
    return _TOO_MANY in f"{getattr(reason, 'reply_text', '')} {reason}"


def _system_error(reason: BaseException) -> OSError | None:
    """Return what the machine said of a connection that could not be opened, None if nothing."""
    # pika keeps the failures of its attempts inside one another, the newest one last.
    attempts = getattr(reason, "exceptions", ())
    inner = [*reason.args, *attempts[-1:], getattr(reason, "exception", None)]
    for cause in inner:
        if isinstance(cause, OSError):
            return cause
        found = _system_error(cause) if isinstance(cause, BaseException) else None
        if found is not None:
            return found
    return None
