"""The model of a round: made of its updates, and made narrow where it travels so."""

from fedmq.encodings.kinds import Kind
from fedmq.encodings.narrow import write_narrow
from fedmq.errors import DiskFull
from fedmq.orchestrator.aggregation.fedavg import FedAvg
from fedmq.orchestrator.aggregation.folding import Contribution, fold_updates
from fedmq.orchestrator.events import Fold, Folded
from fedmq.orchestrator.store import Kept
from fedmq.transport.spool import Spool


def make_model(kept: Kept, fold: Fold, spool: Spool, *, epoch: int) -> Folded:
    """Return the model of a round, and what nodes are sent of it, both in the spool.

    Done again, it makes the same bytes. Who lost the lease in the middle of it may go on with files
    of its own epoch.

    Raises:
        ParametersError: the updates do not fit the model, or the model has no narrow form.
        DiskFull: there is no room; nothing half made stays.
    """
    contributions = {
        node: Contribution(update=spool.file(update.digest), num_cases=num_cases)
        for node, update, num_cases in fold.updates
    }
    reference = spool.file(fold.reference.digest)
    folding, narrowing = (f"{kept.experiment}.{epoch}.{do}" for do in ("folding", "narrowing"))
    try:
        fold_updates(reference, contributions, spool.new_file(folding), FedAvg(), kept.encoding)
        model = spool.adopt(folding)
        kind = kept.spec.model_kind
        if kind is None or kind is Kind.EXACT:
            return Folded(model=model)
        write_narrow(spool.file(model.digest), kind, spool.new_file(narrowing))
        return Folded(model=model, sent=spool.adopt(narrowing))
    except DiskFull:
        spool.discard(folding)
        spool.discard(narrowing)
        raise
