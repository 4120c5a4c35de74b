"""Folds: the updates of a round made into its model, on the orchestrator's disk."""

from typing import Final

from fedmq.errors import DiskFull
from fedmq.messages.fields import Manifest
from fedmq.orchestrator.aggregation.fedavg import FedAvg
from fedmq.orchestrator.aggregation.folding import Contribution, fold_updates
from fedmq.orchestrator.events import Fold
from fedmq.transport.spool import Spool

_SUFFIX: Final = "folding"


def fold_round(spool: Spool, name: str, fold: Fold) -> Manifest:
    """Return the model of a round, which is a payload of the spool; `name` is nobody else's.

    Raises:
        ParametersError: the updates do not fit.
        DiskFull: there is no room for the model.
    """
    contributions = {
        node: Contribution(update=spool.file(update.digest), num_cases=num_cases)
        for node, update, num_cases in fold.updates
    }
    file = f"{name}.{_SUFFIX}"
    try:
        reference = spool.file(fold.reference.digest)
        fold_updates(reference, contributions, spool.new_file(file), FedAvg())
    except DiskFull:
        spool.discard(file)
        raise
    return spool.adopt(file)
