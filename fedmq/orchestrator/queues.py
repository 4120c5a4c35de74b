"""The queues of experiments, which their orchestrator makes, reads and deletes."""

from typing import Final

from fedmq.transport import topology
from fedmq.transport.ports import Transport
from fedmq.transport.topology import Profile
from fedmq.types import ExperimentId

REPLIES_PREFETCH: Final = 64
PAYLOADS_PREFETCH: Final = 8


class Queues:
    """The queues of each experiment of one orchestrator."""

    def __init__(self, orchestrator: str, transport: Transport, profile: Profile) -> None:
        self._me = orchestrator
        self._transport = transport
        self._profile = profile

    def open(self, experiment: ExperimentId) -> None:
        """Make and read an experiment's queues; those that are there stay."""
        self._transport.declare(topology.experiment_queues(experiment, self._me, self._profile))
        self._transport.consume(
            topology.experiment_replies(experiment, self._me), prefetch=REPLIES_PREFETCH
        )
        self._transport.consume(
            topology.experiment_payloads(experiment, self._me), prefetch=PAYLOADS_PREFETCH
        )

    def close(self, experiment: ExperimentId) -> None:
        """Delete an experiment's queues with what is in them."""
        names = [queue.name for queue in topology.experiment_queues(experiment, self._me)]
        for name in names:
            self._transport.stop_consuming(name)
        self._transport.delete(names)
