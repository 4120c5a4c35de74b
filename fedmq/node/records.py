"""Records: all that a node keeps in its journal, opened together."""

from dataclasses import dataclass
from typing import Final

from fedmq.node import approvals, datasets, payloads, plans, tasks
from fedmq.node.datasets import Datasets
from fedmq.node.payloads import Payloads
from fedmq.node.plans import Plans
from fedmq.node.tasks import Tasks
from fedmq.transport import courier as couriers
from fedmq.transport.home import Home
from fedmq.transport.journal import Journal

PLANS: Final = "plans"
"""The folder of the sources of plans that came with experiments."""
SCHEMA: Final = (
    couriers.SCHEMA
    + datasets.SCHEMA
    + plans.SCHEMA
    + approvals.SCHEMA
    + tasks.SCHEMA
    + payloads.SCHEMA
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The records of one node; the service and the command line open the same file."""

    journal: Journal
    datasets: Datasets
    plans: Plans
    tasks: Tasks
    payloads: Payloads

    def close(self) -> None:
        """Close the file."""
        self.journal.close()


def open_records(home: Home) -> Records:
    """Return the records in a node's home.

    Raises:
        StorageError: the folder or the file cannot be used.
    """
    journal = home.journal(SCHEMA)
    return Records(
        journal=journal,
        datasets=Datasets(journal),
        plans=Plans(journal, home.disk(PLANS)),
        tasks=Tasks(journal),
        payloads=Payloads(journal),
    )
