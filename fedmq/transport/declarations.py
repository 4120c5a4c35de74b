"""What is declared at a broker: exchanges, queues, bindings and policies, whatever their names.

Pure data. `topology` has those of a federation, `asking` those of who asks the hub.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Messages of `exchange` whose routing key matches `key` go to the queue."""

    exchange: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue with its arguments at declaration; what may change later is in a policy."""

    name: str
    arguments: dict[str, str | bool]
    bindings: tuple[Binding, ...]

    @property
    def is_stream(self) -> bool:
        """Whether readers leave what they read in it."""
        return self.arguments.get("x-queue-type") == "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str
    internal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Arguments by the names of queues, changeable on a running broker."""

    name: str
    pattern: str
    definition: dict[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything that stands on the broker before the first experiment."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    policies: tuple[Policy, ...]


def exactly(*names: str) -> str:
    """Return the pattern, as the broker reads it, of these names and no others."""
    return "^(" + "|".join(re.escape(name) for name in names) + ")$"
