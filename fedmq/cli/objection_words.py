"""What a node's status says where its audit log is not what others know of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fedmq.cli.audit_words import time_words
from fedmq.cli.console import say_long, show
from fedmq.cli.words import count

if TYPE_CHECKING:
    from fedmq.audit.heads import Heads, Objection

_WHY: Final = {
    "went_back": "the log was longer before",
    "rewritten": "an entry was another one before",
}
PUT_BACK: Final = (
    "the orchestrator knows another audit log of this node than the node has: where this home was"
    " put back from a copy, write down when and why, and nothing else is to be done: later entries"
    " are signed again. Where nobody did that, entries were removed or changed: keep the log as it"
    " is, and tell who is responsible for the data"
)
GONE: Final = (
    "entries that the orchestrator has signed are gone or changed: keep the journal as it is and"
    " tell who is responsible for the data"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What speaks against a node's audit log; a record for programs."""

    num_objections: int
    """Of the orchestrator."""
    newest: "Objection | None"
    lost: tuple[int, ...]
    """Entries that the orchestrator has signed, and that are gone or changed."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.num_objections or self.lost)


def find_doubts(heads: "Heads") -> Doubts:
    """Return what speaks against the log that these heads are of."""
    known = heads.objections()
    newest = known[-1] if known else None
    return Doubts(num_objections=len(known), newest=newest, lost=heads.lost())


def show_doubts(doubts: Doubts) -> None:
    """Print what speaks against a log, and what to do."""
    if doubts.newest is not None:
        one = doubts.newest.told
        times = count(doubts.num_objections, "time")
        why = _WHY.get(one.code, one.code)
        show(f"audit objected    {times}, last at {time_words(doubts.newest.at)}: {why}")
        show(f"                  told of entry {one.entry}, the orchestrator keeps {one.kept}")
        say_long(PUT_BACK)
    if doubts.lost:
        number, first = len(doubts.lost), doubts.lost[0]
        show(f"audit damaged     signed and gone or changed: {number}, the first is entry {first}")
        say_long(GONE)
