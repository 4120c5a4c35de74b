"""Leftovers: files among the payloads that nothing needs, and that no event would remove.

A crash leaves them, a chunk that comes again after its payload was removed, an experiment that ends
while updates are on their way.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from fedmq.disk import Disk
from fedmq.orchestrator.state import Experiment, Stage
from fedmq.transport.spool import Spool
from fedmq.types import Digest, NodeId


class Leftovers:
    """What the last look at the payloads' folder found unneeded."""

    def __init__(self, disk: Disk, spool: Spool) -> None:
        self._disk = disk
        self._spool = spool
        self._suspects: frozenset[str] = frozenset()

    def look(self, needed: AbstractSet[Digest]) -> int:
        """Remove what two looks in a row found unneeded; return how many files that were.

        One look is not enough: a payload may arrive before the message that announces it.
        """
        unneeded = frozenset(find_unneeded(self._disk, needed))
        old = unneeded & self._suspects
        # The spool forgets a digest with its files; what is no payload is removed by name.
        self._spool.remove(*(Digest(name.partition(".")[0]) for name in old))
        for name in sorted(old):
            self._disk.remove(name)
        self._suspects = unneeded - old
        return len(old)


def needed_payloads(states: Iterable[Experiment], awaited: Iterable[Digest]) -> set[Digest]:
    """Return the payloads that experiments need, and those that messages wait for."""
    needed = set(awaited)
    for state in states:
        # The model of an experiment that is over too: its researcher may fetch it.
        needed.add(state.model.digest)
        if not state.is_over:
            needed.add(state.travelling.digest)
        if _needs_updates(state):
            needed.update(one.update.digest for one in state.trained.values())
    return needed


def is_counted(state: Experiment, node: NodeId, update: Digest) -> bool:
    """Return whether an experiment needs the update of a node in the round under way."""
    trained = state.trained.get(node)
    return _needs_updates(state) and trained is not None and trained.update.digest == update


def _needs_updates(state: Experiment) -> bool:
    # Once folded, a round's updates are in its model.
    return state.stage in {Stage.TRAINING, Stage.FOLDING}


def find_unneeded(disk: Disk, needed: AbstractSet[Digest]) -> list[str]:
    """Return the names of the files that are of no payload that is needed."""
    return [name for name in disk.names() if name.partition(".")[0] not in needed]
