"""Replay: an experiment as its submission and the log of its events make it."""

from collections.abc import Iterable

from fedmq.orchestrator.events import Event
from fedmq.orchestrator.experiment import advance, begin
from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.store import Kept


def replay(kept: Kept, events: Iterable[tuple[float, Event]]) -> Experiment:
    """Return the state after all events, each at its own time."""
    state, _ = begin(kept.spec, kept.initial, now=kept.began_at)
    for at, event in events:
        state, _ = advance(state, event, now=at)
    return state
