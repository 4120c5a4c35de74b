"""Old entries go, and the chain that is left says so and verifies."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.audit.export import export_log
from fedmq.audit.facts import EntriesPruned
from fedmq.audit.files import verify_file
from fedmq.audit.retention import YEAR_S
from fedmq.messages.heads import SignedHead
from fedmq.messages.notices import RosterNotice
from fedmq.node.audit_facts import NodeLeft, NodeStarted
from fedmq.node.audit_retention import find_old_entries, prune
from fedmq.node.audit_verify import verify_records
from fedmq.node.closing import leave
from fedmq.node.records import Records, open_records
from fedmq.transport.home import LocalHome
from tests.support.tiny_plan import write_cases


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Return it."""
        return self.time

    def steady(self) -> float:
        """Return it."""
        return self.time


@pytest.fixture
def clock() -> SetClock:
    """Return a clock that stands at the beginning."""
    return SetClock()


@pytest.fixture
def records(tmp_path: Path, clock: SetClock) -> Iterator[Records]:
    """Return the records of a node with an entry of each of twelve years."""
    made = open_records(LocalHome(tmp_path / "home"), clock)
    for year in range(12):
        clock.time = year * YEAR_S
        made.audit.note(NodeStarted(node="chu-lyon", version=str(year)))
    yield made
    made.close()


def test_entries_older_than_the_years_go_and_an_entry_tells_it(
    records: Records, clock: SetClock, tmp_path: Path
) -> None:
    """How many, up to which hash; what is left verifies, and an export of it."""
    head = records.audit.head()
    third = list(records.audit.entries())[2]
    old = find_old_entries(records, years=8, now=clock.time)
    assert (old.count, old.last) == (3, third)
    assert prune(records, years=8, now=clock.time) == 3
    verdict = verify_records(records, [head])
    assert (verdict.fault, verdict.first, verdict.num_entries) == (None, 4, 10)
    (pruned,) = records.audit.facts(EntriesPruned)
    assert (pruned.count, pruned.through, pruned.through_hash) == (3, 3, third.hash)
    export_log(records.audit, tmp_path / "log.jsonl")
    assert verify_file(tmp_path / "log.jsonl").fault is None
    assert prune(records, years=8, now=clock.time) == 0


def test_pruning_again_and_again_leaves_a_chain(records: Records, clock: SetClock) -> None:
    """The entries that told of earlier ones go in their turn."""
    for _ in range(30):
        clock.time += YEAR_S
        records.audit.note(NodeStarted(node="chu-lyon", version="x"))
        prune(records, years=2, now=clock.time)
        assert verify_records(records).fault is None
    assert records.audit.head().number > 60
    assert len(list(records.audit.entries())) < 12


def test_a_beginning_that_was_cut_is_no_retention(records: Records) -> None:
    """Without the entry that tells it, what is gone is missed."""
    prune(records, years=8, now=11 * YEAR_S)
    records.journal.execute("DELETE FROM audit WHERE number = 4")
    fault = verify_records(records).fault
    assert fault is not None
    assert fault.number == 5


def test_only_what_was_written_first_goes(records: Records, clock: SetClock) -> None:
    """A clock that was set back for a while makes no holes."""
    clock.time = 0.0
    records.audit.note(NodeStarted(node="chu-lyon", version="back"))
    clock.time = 12 * YEAR_S
    records.audit.note(NodeStarted(node="chu-lyon", version="again"))
    assert find_old_entries(records, years=8, now=clock.time).count == 4


def test_a_clock_far_ahead_makes_nothing_old(records: Records) -> None:
    """Time goes as far as the newest entry says."""
    assert find_old_entries(records, years=8, now=1_000 * YEAR_S).count == 3


def test_the_closing_record_stays(records: Records, clock: SetClock) -> None:
    """However old it is: it is what keeps a node that has left from starting."""
    leave(records)
    clock.time = 100 * YEAR_S
    records.audit.note(NodeStarted(node="chu-lyon", version="never"))
    prune(records, years=1, now=clock.time)
    assert records.audit.has(NodeLeft)
    assert verify_records(records).fault is None


def test_lists_of_cases_and_signatures_go_with_the_entries_that_name_them(
    records: Records, clock: SetClock, tmp_path: Path
) -> None:
    """And no earlier."""
    folder = write_cases(tmp_path / "cases", 3)
    records.datasets.add("petct", folder, now=0.0)
    head = records.audit.head()
    signed = SignedHead(
        log=head.hash, number=head.number, hash=head.hash, at_ms=1, signature="0" * 128
    )
    assert records.heads.keep(signed, by="orchestrator", roster=None)
    prune(records, years=8, now=clock.time)
    assert len(records.case_lists.sound()) == 1
    clock.time += 9 * YEAR_S
    records.audit.note(NodeStarted(node="chu-lyon", version="x"))
    assert len(records.heads.countersigned()) == 1
    prune(records, years=8, now=clock.time)
    assert records.case_lists.sound() == frozenset()
    assert records.heads.countersigned() == ()
    assert verify_records(records).fault is None


def test_rosters_go_with_the_last_signature_for_which_they_vouch(
    records: Records, clock: SetClock
) -> None:
    """One that still vouches for a signature stays, and may be kept again later."""
    rosters = [RosterNotice(content=f"roster {one}", signature="0" * 128) for one in range(2)]
    for entry in list(records.audit.entries())[:6]:
        signed = SignedHead(
            log=entry.hash, number=entry.number, hash=entry.hash, at_ms=1, signature="0" * 128
        )
        roster = rosters[0 if entry.number <= 2 else 1]
        assert records.heads.keep(signed, by="orchestrator", roster=roster)
    count = "SELECT count(*) FROM vouching_rosters"
    assert records.journal.cell(count) == 2
    assert prune(records, years=8, now=clock.time) == 3
    assert records.journal.cell(count) == 1
    assert [one.roster for one in records.heads.countersigned()] == [rosters[1]] * 3
    assert prune(records, years=2, now=clock.time) == 6
    assert records.journal.cell(count) == 0


def test_nothing_is_old_where_nothing_happened(tmp_path: Path) -> None:
    """A new node's log is empty."""
    records = open_records(LocalHome(tmp_path))
    assert find_old_entries(records, years=1, now=1e12).last is None
    assert prune(records, years=1, now=1e12) == 0
    records.close()
