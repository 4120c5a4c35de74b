"""Disused: what an orchestrator keeps and needs no more, found in its home."""

from collections.abc import Iterator, Mapping
from typing import Final

from fedmq.orchestrator import store
from fedmq.orchestrator.checkpoints import FOLDER, models
from fedmq.orchestrator.leader import PAYLOADS
from fedmq.orchestrator.leftovers import find_unneeded, needed_payloads
from fedmq.orchestrator.replay import replay
from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.store import Store
from fedmq.transport import courier as couriers
from fedmq.transport.disused import Disused, DisusedFile
from fedmq.transport.home import Home
from fedmq.transport.inbox import awaited_payloads
from fedmq.transport.retention import Retention
from fedmq.types import ExperimentId

MODELS: Final = "models of earlier rounds"
LEFTOVERS: Final = "models and updates that no round needs"


def find_disused(home: Home, retention: Retention) -> Disused:
    """Return what nothing needs; experiments that run, wait or are paused keep all of theirs.

    Raises:
        StorageError: the home cannot be read.
    """
    journal = home.journal(couriers.SCHEMA, store.SCHEMA)
    try:
        known = Store(journal)
        kept = tuple(known.experiments())
        states = {one.experiment: replay(one, known.events(one.experiment)) for one in kept}
        needed = needed_payloads(states.values(), awaited_payloads(journal))
        unneeded = find_unneeded(home.disk(PAYLOADS), needed)
        leftovers = [DisusedFile(what=LEFTOVERS, folder=(PAYLOADS,), name=one) for one in unneeded]
        return Disused(
            files=(*_models(home, states, retention), *leftovers),
            over={
                str(one.experiment): str(one.researcher)
                for one in kept
                if states[one.experiment].is_over
            },
        )
    finally:
        journal.close()


def _models(
    home: Home, states: Mapping[ExperimentId, Experiment], retention: Retention
) -> Iterator[DisusedFile]:
    for experiment, state in states.items():
        newest = state.model_round - retention.num_models
        for name, number in models(home.disk(FOLDER, experiment)):
            if number <= newest:
                yield DisusedFile(what=MODELS, folder=(FOLDER, experiment), name=name)
