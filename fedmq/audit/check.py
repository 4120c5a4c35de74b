"""Whether a chain of audit entries is what was written: the first entry that is not, and why. Pure.

A chain whose tail was cut is a sound chain. Only a head that somebody else keeps tells it: heads
are given to the check, and have to be found in the chain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fedmq.audit.chain import BEGINNING, Entry, Head, read_entry
from fedmq.audit.facts import EntriesPruned, fact_of
from fedmq.types import Digest

FIX: Final = (
    "keep the damaged log as it is and tell who is responsible for the data; restore the journal"
    " from a backup, and compare its head with those that others keep"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The first entry that is not what was written."""

    number: int
    """The entry's; where it cannot be read, the number that was to come."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """The newest head for which an orchestrator vouches."""

    number: int
    at: float
    """Unix seconds by the orchestrator's clock."""
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found of a log: all of it where there is no fault, else what stands before that."""

    num_entries: int
    first: int
    """The number of the first entry; 0 where there is none."""
    began_at: float | None
    """Unix seconds of the first entry."""
    ended_at: float | None
    head: Head
    num_heads: int
    """How many of the heads that others keep were found."""
    fault: Fault | None
    witnessed: Witnessed | None = None
    """Up to where an orchestrator vouches for it."""


class ChainCheck:
    """Takes a chain line by line; says at the end what was found."""

    def __init__(self, *, is_whole: bool, heads: Iterable[Head] = ()) -> None:
        """Begin; a whole log begins with its first entry, or says how many before it went."""
        self.last: Entry | None = None
        self.fault: Fault | None = None
        self._is_whole = is_whole
        self._heads = {(head.number, head.hash) for head in heads}
        self._numbers = {number for number, _ in self._heads}
        self._first: Entry | None = None
        self._count = 0
        self._num_heads = 0
        self._pruned: set[Head] = {BEGINNING}
        """Where entries say that the log begins; without any, it begins at the beginning."""

    def take(self, line: bytes) -> bool:
        """Look at the next line; return whether it is the next entry of the chain."""
        entry = read_entry(line)
        if entry is None:
            number = self.last.number + 1 if self.last else 1
            return self.fail(number, "its bytes were changed: they do not have its hash")
        why = "" if self.last is None else _break_between(self.last, entry)
        if why:
            return self.fail(entry.number, why)
        if self._first is None:
            self._first = entry
            self._compare(entry.before)
        self._compare(entry.head)
        pruned = fact_of(entry, EntriesPruned)
        if pruned is not None:
            self._pruned.add(Head(number=pruned.through, hash=Digest(pruned.through_hash)))
        self.last, self._count = entry, self._count + 1
        return self.fault is None

    def fail(self, number: int, why: str) -> bool:
        """Note the first fault; return False."""
        if self.fault is None:
            self.fault = Fault(number=number, why=why)
        return False

    def finish(self) -> Verdict:
        """Return what was found."""
        first, last = self._first, self.last
        head = BEGINNING if last is None else last.head
        if self.fault is None:
            self._require_beginning()
            self._require_tail(head)
        return Verdict(
            num_entries=self._count,
            first=0 if first is None else first.number,
            began_at=None if first is None else first.at,
            ended_at=None if last is None else last.at,
            head=head,
            num_heads=self._num_heads,
            fault=self.fault,
        )

    def _compare(self, head: Head) -> None:
        if head.number not in self._numbers:
            return
        if (head.number, head.hash) in self._heads:
            self._num_heads += 1
        if any(one for one in self._heads if one[0] == head.number and one[1] != head.hash):
            self.fail(head.number, "a head that somebody keeps has another hash for this entry")

    def _require_beginning(self) -> None:
        first = self._first
        if self._is_whole and first is not None and first.before not in self._pruned:
            why = "what stood before it is gone, and no entry says that it was pruned"
            self.fail(first.number, why)

    def _require_tail(self, head: Head) -> None:
        newest = max(self._numbers, default=0)
        if newest > head.number:
            why = f"it is gone: somebody keeps a head of {newest} entries, here are {head.number}"
            self.fail(head.number + 1, why)


def _break_between(last: Entry, entry: Entry) -> str:
    """Return why an entry does not follow another; empty where it does."""
    expected, number = last.number + 1, entry.number
    if number == expected:
        is_linked = entry.previous == last.hash
        return "" if is_linked else "it was not written behind the entry before it"
    if number > expected:
        gone = (
            f"entry {expected} is" if number == expected + 1 else f"{expected} to {number - 1} are"
        )
        return f"what should stand before it is gone: {gone} missing"
    return f"it stands behind entry {last.number}, where it does not belong"
