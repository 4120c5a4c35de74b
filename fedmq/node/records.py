"""Records: all that a node keeps in its journal, opened together."""

import secrets
from dataclasses import dataclass
from typing import Final

from fedmq.audit import heads as audit_heads
from fedmq.audit import log as audit_log
from fedmq.audit.heads import Heads
from fedmq.audit.log import AuditLog
from fedmq.clocks import Clock, SystemClock
from fedmq.node import (
    approvals,
    case_lists,
    check_pages,
    computing,
    datasets,
    epochs,
    found,
    intakes,
    meanings,
    payloads,
    plans,
    seen,
    tasks,
    withdrawals,
)
from fedmq.node.case_lists import CaseLists, MakeKey
from fedmq.node.check_pages import PAGES, CheckPages
from fedmq.node.computing import Computing
from fedmq.node.datasets import Datasets
from fedmq.node.epochs import Epochs
from fedmq.node.features import FEATURES, FeatureTables
from fedmq.node.intakes import Intakes
from fedmq.node.payloads import Payloads
from fedmq.node.plans import Plans
from fedmq.node.tasks import Tasks
from fedmq.node.withdrawals import Withdrawals
from fedmq.transport import courier as couriers
from fedmq.transport.home import Home
from fedmq.transport.journal import Journal

PLANS: Final = "plans"
"""The folder of the sources of plans that came with experiments."""
SCHEMA: Final = (
    couriers.SCHEMA
    + datasets.SCHEMA
    + meanings.SCHEMA
    + found.SCHEMA
    + seen.SCHEMA
    + plans.SCHEMA
    + approvals.SCHEMA
    + tasks.SCHEMA
    + computing.SCHEMA
    + intakes.SCHEMA
    + payloads.SCHEMA
    + audit_log.SCHEMA
    + audit_heads.SCHEMA
    + case_lists.SCHEMA
    + withdrawals.SCHEMA
    + epochs.SCHEMA
    + check_pages.SCHEMA
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The records of one node; the service and the command line open the same file."""

    journal: Journal
    datasets: Datasets
    plans: Plans
    tasks: Tasks
    computing: Computing
    intakes: Intakes
    payloads: Payloads
    audit: AuditLog
    heads: Heads
    case_lists: CaseLists
    withdrawals: Withdrawals
    epochs: Epochs
    features: FeatureTables
    check_pages: CheckPages

    def close(self) -> None:
        """Close the file."""
        self.journal.close()


def open_records(
    home: Home,
    clock: Clock | None = None,
    *,
    by: str = "",
    make_key: MakeKey = secrets.token_bytes,
) -> Records:
    """Return the records in a node's home.

    The audit log has the times of `clock`, else the system's, and acts of the person `by`, where
    one acts; `make_key` makes the key of the case lists, once.

    Raises:
        StorageError: the folder or the file cannot be used.
    """
    journal = home.journal(SCHEMA)
    log = AuditLog(journal, clock or SystemClock(), by=by)
    lists, withdrawn = CaseLists(journal, make_key), Withdrawals(journal)
    return Records(
        journal=journal,
        datasets=Datasets(journal, audit=log, case_lists=lists, withdrawals=withdrawn),
        plans=Plans(journal, home.disk(PLANS), log),
        tasks=Tasks(journal),
        computing=Computing(journal),
        intakes=Intakes(journal),
        payloads=Payloads(journal),
        audit=log,
        heads=Heads(journal, log),
        case_lists=lists,
        withdrawals=withdrawn,
        epochs=Epochs(journal),
        features=FeatureTables(home.disk(FEATURES), journal, withdrawn),
        check_pages=CheckPages(home.disk(PAGES), journal),
    )
