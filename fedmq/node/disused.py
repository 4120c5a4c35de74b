"""Disused: what a node keeps and needs no more, found in its home."""

from typing import Final

from fedmq.node.records import open_records
from fedmq.node.storage import PAYLOADS, RESIDUALS, SCRATCH, Storage
from fedmq.transport.disused import Disused, DisusedFile
from fedmq.transport.home import Home
from fedmq.transport.received import NOBODY

LEFTOVERS: Final = "models and updates that no task needs"
UNSENT: Final = "what stayed unsent of updates of experiments that are over"
OUTPUTS: Final = "trained parameters of no task"


def find_disused(home: Home) -> Disused:
    """Return what no task, no unsent reply and no round under way needs.

    Raises:
        StorageError: the home cannot be read.
    """
    records = open_records(home)
    try:
        storage = Storage(home)
        payloads = storage.unneeded(records.payloads.is_needed)
        outputs = storage.outputs_of_none({task.name for task in records.tasks.all()})
        residuals = storage.residuals.unneeded(records.tasks.is_running)
        return Disused(
            files=(
                *(DisusedFile(what=LEFTOVERS, folder=(PAYLOADS,), name=one) for one in payloads),
                *(DisusedFile(what=OUTPUTS, folder=(SCRATCH,), name=one) for one in outputs),
                *(DisusedFile(what=UNSENT, folder=(RESIDUALS,), name=one) for one in residuals),
            ),
            over=dict.fromkeys(records.tasks.over(), NOBODY),
        )
    finally:
        records.close()
