"""Old entries of the orchestrator's log go, and with them the heads that they tell of."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from fedmq.audit import log as audit_log
from fedmq.audit.facts import EntriesPruned
from fedmq.audit.log import AuditLog
from fedmq.audit.retention import YEAR_S
from fedmq.messages.codec import Message
from fedmq.messages.envelope import Envelope
from fedmq.messages.heads import ObjectedHead, SignedHead, ToldHead
from fedmq.messages.replies import PrepareReply
from fedmq.orchestrator import witness
from fedmq.orchestrator.audit_facts import HeadRefused, HeadWitnessed, LogChanged
from fedmq.orchestrator.audit_retention import prune, prune_home
from fedmq.orchestrator.witness import Witness, count_refused, count_witnessed
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport.home import LocalHome
from fedmq.types import Digest
from tests.support.clock import FakeClock

LYON: Final = "chu-lyon"
PARIS: Final = "ghu-paris"


def told(place: int, *, log: str = "a", number: int | None = None, salt: int = 0) -> ToldHead:
    """Return a head that a node tells of."""
    number = place * 10 if number is None else number
    hashed = Digest(f"{number:060x}{salt:04x}")
    return ToldHead(log=Digest(log * 64), place=place, number=number, hash=hashed)


class Keeper:
    """An orchestrator, as far as it keeps heads and has a log; years pass by hand."""

    def __init__(self, folder: Path) -> None:
        self.year = 0.0
        self.home = LocalHome(folder)
        self.clock = FakeClock(lambda: self.year * YEAR_S)
        self.journal = self.home.journal(audit_log.SCHEMA, witness.SCHEMA)
        self.audit = AuditLog(self.journal, self.clock)
        self.witness = Witness(self.journal, self.audit, PlainWire(), self.clock)

    def take(self, node: str, head: ToldHead) -> SignedHead | ObjectedHead | None:
        """Return what the receipt of an answer with this head says."""
        self.witness.note(node, head)
        return self.answer(node, head)

    def answer(self, node: str, head: ToldHead) -> SignedHead | ObjectedHead | None:
        """Return what the receipt says where the answer comes again."""
        reply = PrepareReply(num_training_cases=1, num_validation_cases=1, head=head)
        envelope = Envelope(
            type=reply.TYPE, message_id="m", sender=node, recipient="orchestrator", sent_at=1.0
        )
        return self.witness.answer(Message(envelope=envelope, body=reply))

    def prune(self, years: int) -> int:
        """Return how many entries went."""
        return prune(self.journal, self.audit, years=years, now=self.clock.now())

    def places(self, node: str) -> list[int]:
        """Return the places of a node's logs in which a head is kept."""
        rows = self.journal.rows(
            "SELECT place FROM witnessed WHERE node = ? ORDER BY log, place", (node,)
        )
        return [int(row[0] or 0) for row in rows]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """Return an orchestrator to which a node told a head in each of twelve years."""
    made = Keeper(tmp_path)
    for year in range(12):
        made.year = year
        assert isinstance(made.take(LYON, told(year + 1)), SignedHead)
    yield made
    made.journal.close()


def test_old_entries_go_with_the_heads_of_which_they_tell(keeper: Keeper) -> None:
    """An entry says how many and up to which hash; what is left verifies, and is still signed."""
    head = keeper.audit.head()
    third = list(keeper.audit.entries())[2]
    assert prune_home(keeper.home, years=8, clock=keeper.clock, dry_run=True) == 3
    assert len(keeper.places(LYON)) == 12
    assert prune_home(keeper.home, years=8, clock=keeper.clock, dry_run=False) == 3
    verdict = keeper.audit.verify([head])
    assert (verdict.fault, verdict.first, verdict.num_entries) == (None, 4, 10)
    (pruned,) = keeper.audit.facts(EntriesPruned)
    assert (pruned.count, pruned.through, pruned.through_hash) == (3, 3, third.hash)
    assert keeper.places(LYON) == [one.place for one in keeper.audit.facts(HeadWitnessed)]
    assert keeper.places(LYON) == list(range(4, 13))
    assert count_witnessed(keeper.journal) == {LYON: 120}
    assert isinstance(keeper.answer(LYON, told(5)), SignedHead)
    assert keeper.prune(8) == 0


def test_pruning_for_years_keeps_tables_small(keeper: Keeper) -> None:
    """They do not grow any more once as many years went by as entries stay."""
    for year in range(12, 60):
        keeper.year = year
        assert isinstance(keeper.take(LYON, told(year + 1)), SignedHead)
        # Each year its home is put back from another copy, for a while.
        assert isinstance(keeper.take(LYON, told(year + 1, number=5, salt=year)), ObjectedHead)
        keeper.prune(3)
        assert keeper.audit.verify().fault is None
    assert len(keeper.places(LYON)) <= 5
    assert count_refused(keeper.journal)[LYON] <= 5
    assert len(list(keeper.audit.entries())) < 20


def test_the_newest_head_of_a_node_stays_however_old(keeper: Keeper) -> None:
    """A node that comes back after years goes on from there; one that was put back is told so."""
    keeper.take(PARIS, told(1))
    keeper.take(PARIS, told(3))
    keeper.take(PARIS, told(2))  # it was overtaken
    keeper.year = 40
    keeper.take(LYON, told(13))
    keeper.prune(2)
    assert keeper.places(PARIS) == [3]
    assert isinstance(keeper.take(PARIS, told(4, number=20)), ObjectedHead)
    assert isinstance(keeper.take(PARIS, told(3, salt=1)), ObjectedHead)
    assert isinstance(keeper.take(PARIS, told(4)), SignedHead)


def test_of_logs_that_a_node_has_no_more_nothing_stays(keeper: Keeper) -> None:
    """Only the newest is one with which it may go on."""
    keeper.year = 11.5
    keeper.take(LYON, told(1, log="b"))
    assert len(list(keeper.audit.facts(LogChanged))) == 1
    keeper.year = 40
    keeper.take(PARIS, told(1))
    keeper.prune(2)
    assert keeper.journal.rows("SELECT log, place FROM witnessed WHERE node = ?", (LYON,)) == [
        ("b" * 64, 1)
    ]
    assert keeper.journal.cell("SELECT count(*) FROM forgotten_heads") == 0


def test_a_place_whose_head_went_is_signed_no_more(keeper: Keeper) -> None:
    """A copy of the node's home from then could tell anything there, and was told so before."""
    assert keeper.prune(8) == 3
    assert isinstance(keeper.take(LYON, told(2, salt=1)), ObjectedHead)
    assert isinstance(keeper.take(LYON, told(3)), ObjectedHead)
    assert keeper.places(LYON) == list(range(4, 13))
    assert isinstance(keeper.take(LYON, told(13)), SignedHead)
    assert isinstance(keeper.take(LYON, told(1, log="b")), SignedHead)
    keeper.year = 13
    keeper.take(LYON, told(2, log="b"))
    assert keeper.prune(8) > 0
    assert isinstance(keeper.take(LYON, told(4)), ObjectedHead)


def test_a_refused_head_goes_with_its_entry_and_no_earlier(keeper: Keeper) -> None:
    """While it stands, an answer that comes again is not told again."""
    for salt in (1, 2):
        keeper.year = 11 + salt
        keeper.take(LYON, told(12, salt=salt))
    assert count_refused(keeper.journal) == {LYON: 2}
    keeper.year = 14.5
    keeper.take(LYON, told(13))
    keeper.prune(2)
    assert count_refused(keeper.journal) == {LYON: 1}
    assert isinstance(keeper.answer(LYON, told(12, salt=2)), ObjectedHead)
    assert len(list(keeper.audit.facts(HeadRefused))) == 1


def test_nothing_is_old_where_nothing_happened(tmp_path: Path) -> None:
    """A new orchestrator's log is empty."""
    clock = FakeClock(lambda: 1e12)
    assert prune_home(LocalHome(tmp_path), years=1, clock=clock, dry_run=False) == 0
