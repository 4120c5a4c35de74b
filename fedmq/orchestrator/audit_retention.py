"""Retention of the orchestrator's audit log: with old entries go the heads that they tell of."""

from fedmq.audit import log as audit_log
from fedmq.audit.log import AuditLog
from fedmq.audit.retention import find_old
from fedmq.clocks import Clock
from fedmq.orchestrator import witness
from fedmq.transport.home import Home
from fedmq.transport.journal import Journal


def prune(journal: Journal, audit: AuditLog, *, years: int, now: float) -> int:
    """Remove the entries that are old, and the nodes' heads in them; return how many went."""
    with journal.transaction():
        old = find_old(audit, years=years, now=now)
        if old.last is not None:
            audit.prune(old.last.head, count=old.count)
            witness.forget_witnessed(journal, through=old.last.at)
            witness.forget_refused(journal, audit)
    return old.count


def prune_home(home: Home, *, years: int, clock: Clock, dry_run: bool) -> int:
    """Return how many entries of the log in a home are old; they are gone then, or would go."""
    journal = home.journal(audit_log.SCHEMA, witness.SCHEMA)
    try:
        audit = AuditLog(journal, clock)
        if dry_run:
            return find_old(audit, years=years, now=clock.now()).count
        return prune(journal, audit, years=years, now=clock.now())
    finally:
        journal.close()
