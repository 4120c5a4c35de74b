"""Closing: a node leaves the federation; its log ends with what it did, and stays.

The node is stopped and sends nothing any more: the record has no signature of an orchestrator.
"""

from fedmq.errors import ConfigurationError
from fedmq.node.audit_facts import NodeLeft, TrainingDone, UpdateSent
from fedmq.node.records import Records


def leave(records: Records) -> NodeLeft:
    """Write the closing record; return it.

    Raises:
        ConfigurationError: the node has left before.
    """
    audit = records.audit
    with records.journal.transaction():
        require_member(records)
        trainings = list(audit.facts(TrainingDone))
        record = NodeLeft(
            num_experiments=len({one.experiment for one in trainings}),
            num_rounds=len({(one.experiment, one.round) for one in trainings}),
            num_updates_sent=sum(1 for _ in audit.facts(UpdateSent)),
            num_datasets=len(records.datasets.all()),
            head_number=audit.head().number,
            by=audit.by,
        )
        audit.note(record)
    return record


def require_member(records: Records) -> None:
    """Return if the node has not left the federation.

    Raises:
        ConfigurationError: it has.
    """
    if records.audit.has(NodeLeft):
        raise ConfigurationError(
            "this node has left the federation",
            why="its audit log ends with the closing record",
            fix="to take part again, make a node in another folder: FEDMQ_HOME, fedmq node join",
        )
