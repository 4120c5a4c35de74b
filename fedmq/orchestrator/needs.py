"""Needs: what an orchestrator's disk has to hold for the rounds under way."""

from collections import Counter

from fedmq.errors import StorageError
from fedmq.orchestrator import store
from fedmq.orchestrator.leader import PAYLOADS
from fedmq.orchestrator.replay import replay
from fedmq.orchestrator.rounds import num_models_of_round, num_models_to_come
from fedmq.orchestrator.state import Experiment, Stage
from fedmq.orchestrator.store import Store
from fedmq.transport import courier as couriers
from fedmq.transport.home import RESERVE_BYTES, Home, Room
from fedmq.transport.inbox import awaited_payloads, waiting_messages
from fedmq.transport.spool import Spool


def read_room(home: Home) -> Room:
    """Return the room at an orchestrator; its service may have the same home open.

    Raises:
        StorageError: there is no such folder.
    """
    try:
        needed_bytes = _needed_bytes(home)
    except StorageError:
        needed_bytes = 0  # so full that even the journal cannot be opened: the reserve comes first
    return Room(needed_bytes=RESERVE_BYTES + needed_bytes, free_bytes=home.free_bytes())


def _needed_bytes(home: Home) -> int:
    """Return the bytes of updates on their way or still to come, and of the models made of them."""
    journal = home.journal(couriers.SCHEMA, store.SCHEMA)
    try:
        spool = Spool(home.disk(PAYLOADS))
        lacking = sum(spool.lacking_bytes(one) for one in awaited_payloads(journal).values())
        on_their_way = Counter(one.envelope.experiment for _, one in waiting_messages(journal))
        known = Store(journal)
        states = {
            kept.experiment: replay(kept, known.events(kept.experiment))
            for kept in known.experiments()
        }
        return lacking + sum(
            max(0, _num_models(state) - on_their_way[name]) * state.model.size_bytes
            for name, state in states.items()
        )
    finally:
        journal.close()


def _num_models(state: Experiment) -> int:
    """Return how many files as large as the model a round still takes."""
    if state.is_over or (state.stage is Stage.PREPARING and not state.held):
        return 0
    if state.stage in {Stage.TRAINING, Stage.FOLDING}:
        return num_models_to_come(state)
    return num_models_of_round(state) if state.round < state.spec.num_rounds else 0
