"""How many connections and channels a login may have at the broker at once. Pure.

A member's program has two connections, and a channel for each queue that it reads and for what it
sends. Where a line breaks without a word, the broker holds the two for dead only two heartbeats
later, and each try to be back may leave two more behind: for eight pairs there is room, so many as
a program begins within those two heartbeats by waits that double. A thief gets no more than these.
"""

from typing import Final

from fedmq.types import Role

MAX_CONNECTIONS: Final = "max-connections"
MAX_CHANNELS: Final = "max-channels"
_PAIRS: Final = 8
_MEMBER: Final = {MAX_CONNECTIONS: 2 * _PAIRS, MAX_CHANNELS: 16 * _PAIRS}
JOINER_LIMITS: Final = {MAX_CONNECTIONS: 4, MAX_CHANNELS: 8}
"""Of an invitation: it asks, and waits for the answer."""
_LIMITS: Final[dict[Role, dict[str, int]]] = {
    Role.NODE: _MEMBER,
    # Notebooks and command lines of one login, at the same time.
    Role.RESEARCHER: {MAX_CONNECTIONS: 4 * _PAIRS, MAX_CHANNELS: 16 * _PAIRS},
    # Two queues, each on a channel, for every experiment that runs.
    Role.ORCHESTRATOR: {MAX_CONNECTIONS: 2 * _PAIRS, MAX_CHANNELS: 4096},
    Role.MONITOR: {MAX_CONNECTIONS: 4 * _PAIRS, MAX_CHANNELS: 16 * _PAIRS},
    Role.ADMIN: {},  # the hub's own, at the management alone
}


def limits_of(role: Role) -> dict[str, int]:
    """Return the limits of a login, by RabbitMQ's names."""
    return dict(_LIMITS[role])
