"""One queue of the broker in the process: what waits in it, who reads it, what its policy says."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fedmq.transport.declarations import Policy, Queue
from fedmq.transport.ports import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A message in a queue, and how often it was handed over in vain."""

    publication: Publication
    num_deliveries: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Consumer:
    """A reader of a queue, with at most `prefetch` messages in hand."""

    owner: object
    prefetch: int
    deliver_to: Callable[["Consumer", Stored], None]
    tell_lost: Callable[[str], None]
    in_hand: int = field(default=0, init=False)

    def deliver(self, stored: Stored) -> None:
        """Hand a message over."""
        self.in_hand += 1
        self.deliver_to(self, stored)

    def lost(self, why: str) -> None:
        """Tell the reader that its queue is gone."""
        self.tell_lost(why)


class MemoryQueue:
    """Messages in order, readers in the order of their registration."""

    def __init__(self, declared: Queue, policies: Sequence[Policy]) -> None:
        self.declared = declared
        self.ready: deque[Stored] = deque()
        self.consumers: list[Consumer] = []
        self._num_bytes = 0
        self._may_be_poisonous = False
        """Whether something was handed over in vain since it was looked last."""
        self._definition: dict[str, str | int] = next(
            (p.definition for p in policies if re.search(p.pattern, declared.name)), {}
        )

    @property
    def has_dead_letters(self) -> bool:
        """Whether a rejected message goes to the dead letters."""
        return "dead-letter-exchange" in self._definition

    @property
    def is_full(self) -> bool:
        """Whether the queue refuses a further message."""
        if self._definition.get("overflow") != "reject-publish":
            return False
        length, size = self._limit("max-length"), self._limit("max-length-bytes")
        return (length is not None and len(self.ready) >= length) or (
            size is not None and self._num_bytes >= size
        )

    def store(self, stored: Stored) -> None:
        """Append a message; a queue that drops its head makes room for it."""
        self.ready.append(stored)
        self._num_bytes += _size(stored)
        if self._definition.get("overflow") == "reject-publish":
            return
        length, size = self._limit("max-length"), self._limit("max-length-bytes")
        while self.ready and (
            (length is not None and len(self.ready) > length)
            or (size is not None and self._num_bytes > size)
        ):
            self.take()

    def take(self) -> Stored:
        """Take out and return the message at the head."""
        stored = self.ready.popleft()
        self._num_bytes -= _size(stored)
        return stored

    def put_back(self, stored: Stored) -> None:
        """Return a message that was handed over in vain to the head of the queue."""
        self.ready.appendleft(replace(stored, num_deliveries=stored.num_deliveries + 1))
        self._may_be_poisonous = True
        self._num_bytes += _size(stored)

    def take_poisonous(self) -> list[Stored]:
        """Take out and return what was handed over more often than the limit allows."""
        limit = self._limit("delivery-limit")
        if limit is None or not self._may_be_poisonous:
            return []
        self._may_be_poisonous = False
        poisonous = [one for one in self.ready if one.num_deliveries > limit]
        if poisonous:
            self.ready = deque(one for one in self.ready if one.num_deliveries <= limit)
            self._num_bytes -= sum(map(_size, poisonous))
        return poisonous

    def next_consumer(self) -> Consumer | None:
        """Return who takes the next message: the active reader, or the one with least in hand."""
        if not self.ready:
            return None
        readers = self.consumers
        if self.declared.arguments.get("x-single-active-consumer"):
            readers = readers[:1]
        free = [reader for reader in readers if reader.in_hand < reader.prefetch]
        return min(free, key=lambda reader: reader.in_hand, default=None)

    def _limit(self, name: str) -> int | None:
        value = self._definition.get(name)
        return value if isinstance(value, int) else None


def _size(stored: Stored) -> int:
    return len(stored.publication.body)


def key_matches(pattern: str, key: str) -> bool:
    """Return whether `key` matches a topic binding: `*` is one word, `#` any number of words."""
    return _words_match(pattern.split("."), key.split("."))


def _words_match(pattern: list[str], words: list[str]) -> bool:
    match pattern:
        case []:
            return not words
        case ["#", *rest]:
            return any(_words_match(rest, words[start:]) for start in range(len(words) + 1))
        case [first, *rest]:
            return bool(words) and first in ("*", words[0]) and _words_match(rest, words[1:])
        case _:
            return False
