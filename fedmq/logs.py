"""Logs: one line for each thing that happened, on stderr; readable, or JSON for machines."""

import io
import logging
import re
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from fedmq.errors import IF_REVOKED

ALLOWED: Final = frozenset(
    {
        "activity",
        "attempt",
        "cases",
        "code",
        "event",
        "experiment",
        "experiments",
        "fix",
        "incident",
        "kind",
        "level",
        "model",
        "node",
        "nodes",
        "queue",
        "reason",
        "round",
        "rounds",
        "seconds",
        "sender",
        "state",
        "timestamp",
        "trouble",
        "version",
        "waiting",
    }
)
"""Keys that a line may have: nothing about a patient has a name here."""

_PLAIN: Final = re.compile(r"[a-z0-9._-]{1,80}")
_LOOK_AT_ROSTER: Final = "compare fingerprints with the hub's operator: fedmq node roster"
_COMPARE_ROSTERS: Final = (
    "the federation's governance signed two rosters of one version: compare the roster's hash with"
    " the hub's operator: fedmq node roster"
)
_OTHER_LOGIN: Final = (
    IF_REVOKED + "put the credentials that the hub wrote last in place, and start again"
)


class _Unfailing(io.TextIOBase):
    """A stream for logs: what cannot be written is lost, and nobody is stopped by that."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)


def drop_unknown_keys(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Return the line without keys that are not allowed."""
    return {key: value for key, value in event.items() if key in ALLOWED}


def log_link(trouble: str, *, refused: bool) -> None:
    """Say how the way to the broker is now; `trouble` is empty where all is well."""
    log = structlog.get_logger()
    if not trouble:
        log.info("broker_link_changed", trouble="none")
    elif refused:
        log.warning("broker_link_changed", trouble=trouble, fix=_OTHER_LOGIN)
    else:
        log.warning("broker_link_changed", trouble=trouble)


def log_rejected(*, reason: str, queue: str, kind: str, sender: str) -> None:
    """Say that a message was turned away; what is not known of it is left out.

    A stranger chose the kind, and perhaps the sender: what is no plain word is left out too.
    """
    words = {"queue": queue, "kind": kind, "sender": sender}
    known = {key: word for key, word in words.items() if _PLAIN.fullmatch(word)}
    if reason == "roster_forked":
        known["fix"] = _COMPARE_ROSTERS
    structlog.get_logger().warning("message_rejected", reason=reason, **known)


def log_roster(what: str, version: int, sender: str) -> None:
    """Say what has become of a roster that came."""
    log = structlog.get_logger()
    if sender:
        log.warning(what, version=version, sender=sender, fix=_LOOK_AT_ROSTER)
    else:
        log.info(what, version=version)


def log_ending(what: str, fix: str) -> None:
    """Say that a certificate ends soon, or has ended."""
    structlog.get_logger().warning("certificate_ends", reason=what, fix=fix)


def configure(*, as_json: bool = False) -> None:
    """Send log lines to stderr from here on."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=24)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            drop_unknown_keys,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=cast("TextIO", _Unfailing(sys.stderr))),
    )


def silence() -> None:
    """Write no log line from here on: whole federations run in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
