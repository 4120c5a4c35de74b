"""Room: a round begins only where the disk holds all that it brings.

A disk that fills up in the middle of a round is survived (`fedmq.transport.lives`), but every
experiment waits then; so only one of them does.
"""

from collections.abc import Iterable

from fedmq.orchestrator.rounds import num_models_of_round, num_models_to_come
from fedmq.orchestrator.state import Experiment, Stage
from fedmq.transport.home import RESERVE_BYTES, Home


def lacking_bytes(
    home: Home, before: Experiment, after: Experiment, others: Iterable[Experiment]
) -> int:
    """Return what the round that follows `before` needs, 0 where the disk has room for it.

    What the rounds of `others` still take is theirs; an update that is here in part counts whole.

    Raises:
        StorageError: the folder cannot be read or written.
    """
    size_bytes = after.model.size_bytes
    needed = RESERVE_BYTES + num_models_of_round(after) * size_bytes
    needed += sum(num_models_to_come(other) * other.model.size_bytes for other in others)
    # The updates of a round that was folded are removed once that is written down.
    freed = len(before.trained) * size_bytes if before.stage is Stage.FOLDING else 0
    # Free space may be kept for the system, and be there for this program all the same.
    has_room = home.free_bytes() >= needed - freed or home.has_room(needed - freed)
    return 0 if has_room else needed
