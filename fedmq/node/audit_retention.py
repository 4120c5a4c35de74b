"""Retention of a node's audit log: with old entries goes what only they needed."""

from fedmq.audit.retention import OldEntries, find_old
from fedmq.clocks import Clock
from fedmq.node.audit_facts import NodeLeft
from fedmq.node.audit_verify import named_lists
from fedmq.node.records import Records, open_records
from fedmq.transport.home import Home


def find_old_entries(records: Records, *, years: int, now: float) -> OldEntries:
    """Return the entries that are old; a closing record stays, and what comes behind it."""
    return find_old(records.audit, years=years, now=now, stays=NodeLeft.KIND)


def prune(records: Records, *, years: int, now: float) -> int:
    """Remove the entries that are old, their signatures and lists; return how many went."""
    with records.journal.transaction():
        old = find_old_entries(records, years=years, now=now)
        if old.last is not None:
            records.audit.prune(old.last.head, count=old.count)
            records.heads.forget(through=old.last.number)
            lists = records.case_lists
            lists.forget_all_but(named_lists(records) | lists.of_tasks())
    return old.count


def prune_home(home: Home, *, years: int, clock: Clock, dry_run: bool) -> int:
    """Return how many entries of the log in a home are old; they are gone then, or would go."""
    records = open_records(home, clock)
    try:
        if dry_run:
            return find_old_entries(records, years=years, now=clock.now()).count
        return prune(records, years=years, now=clock.now())
    finally:
        records.close()
