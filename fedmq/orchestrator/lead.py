"""A lead: an experiment that an orchestrator knows, as it was submitted and as it stands."""

from dataclasses import dataclass

from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.store import Kept


@dataclass(slots=True)
class Lead:
    """An experiment that this orchestrator knows, and its state."""

    kept: Kept
    state: Experiment
    traffic_noted: tuple[int, int] = (0, 0)

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.state.is_over
