"""Retention of the audit log: its oldest entries go after years, and an entry tells of them."""

from typing import Final

from fedmq.audit.chain import Head, read_entry
from fedmq.audit.facts import EntriesPruned
from fedmq.node.audit_facts import NodeLeft
from fedmq.node.audit_verify import named_lists
from fedmq.node.records import Records

YEAR_S: Final = 365.25 * 86_400.0


def find_old(records: Records, *, years: int, now: float) -> tuple[int, Head | None]:
    """Return how many entries are old, and the head behind the last of them; None: there are none.

    They are the first ones, as far as each is older than `years`; a closing record stays. A clock
    that is set far ahead makes nothing old: time goes as far as the newest entry says.
    """
    newest = records.audit.last(1)
    before = min(now, newest[-1].at if newest else now) - years * YEAR_S
    count, through = 0, None
    for line in records.audit.lines():
        entry = read_entry(line)
        if entry is None or entry.at >= before or entry.kind == NodeLeft.KIND:
            break
        count, through = count + 1, entry.head
    return count, through


def prune(records: Records, *, years: int, now: float) -> int:
    """Remove the entries that are old, and what only they needed; return how many went."""
    journal, audit = records.journal, records.audit
    with journal.transaction():
        count, through = find_old(records, years=years, now=now)
        if through is not None:
            fact = EntriesPruned(count=count, through=through.number, through_hash=through.hash)
            audit.note(fact)
            for table in ("audit", "countersigned"):
                journal.execute(
                    f"DELETE FROM {table} WHERE number <= ?",  # noqa: S608 - own names
                    (through.number,),
                )
            lists = records.case_lists
            lists.forget_all_but(named_lists(records) | lists.of_tasks())
    return count
