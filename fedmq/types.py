"""Names of things: the identifiers that appear in queue names, messages and journals."""

import re
from enum import StrEnum
from typing import Final, NewType

from fedmq.errors import ConfigurationError

NodeId = NewType("NodeId", str)
OrchestratorId = NewType("OrchestratorId", str)
ResearcherId = NewType("ResearcherId", str)
ExperimentId = NewType("ExperimentId", str)
MessageId = NewType("MessageId", str)
Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal, 64 characters."""

ID_PATTERN: Final = r"[a-z0-9-]{1,40}"
"""Ids are words of routing keys and queue names: no dots, no wildcards, no capitals."""

DIGEST_PATTERN: Final = r"[0-9a-f]{64}"

NOWHERE: Final = "-"
"""Stands where an experiment or a recipient would, when there is none."""

ORCHESTRATOR: Final = OrchestratorId("orchestrator")
"""The one that every federation has; more may join it."""

_RESERVED: Final = frozenset({"all", NOWHERE})


class Role(StrEnum):
    """What somebody is in the federation."""

    NODE = "node"
    RESEARCHER = "researcher"
    ORCHESTRATOR = "orchestrator"
    MONITOR = "monitor"
    ADMIN = "admin"

    @property
    def sees_management(self) -> bool:
        """Whether the role has a use for the broker's management pages and their API."""
        return self in {Role.MONITOR, Role.ADMIN}


def with_article(noun: str) -> str:
    """Return a noun as one of many: a node, an orchestrator."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def parse_id(text: str, *, kind: str) -> str:
    """Return `text` if it may name a `kind` (node, experiment, researcher).

    Raises:
        ConfigurationError: it has other characters than a-z, 0-9 and -, or is reserved.
    """
    if re.fullmatch(ID_PATTERN, text) is None:
        raise ConfigurationError(
            f"{text!r} cannot name {with_article(kind)}",
            why="names are words of queue names: 1 to 40 of a-z, 0-9 and -",
            fix="choose a name such as chu-lyon",
        )
    if text in _RESERVED:
        raise ConfigurationError(
            f"{text!r} cannot name {with_article(kind)}",
            why="the word is reserved",
            fix="choose another name",
        )
    return text
