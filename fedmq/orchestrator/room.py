"""Room on the disk: a round begins only where its models and updates have room.

A round takes its model, an update of each member, and the model that is made of them.
"""

from fedmq.disk import Disk
from fedmq.orchestrator.events import RoomSeen
from fedmq.orchestrator.state import Experiment, Stage


def look_for_room(state: Experiment, disk: Disk) -> RoomSeen | None:
    """Return what the disk says before a round may begin, None where that is known already."""
    if not _may_begin(state):
        return None
    seen = RoomSeen(
        free_bytes=disk.free_bytes(),
        needed_bytes=(len(state.members) + 2) * state.model.size_bytes,
    )
    return seen if seen.is_enough is (state.no_room is not None) else None


def _may_begin(state: Experiment) -> bool:
    """Return whether the next event may begin a round."""
    if state.stage is Stage.FOLDING:
        return not state.spec.evaluate
    return state.held == "round" or state.stage in {Stage.PREPARING, Stage.EVALUATING}
