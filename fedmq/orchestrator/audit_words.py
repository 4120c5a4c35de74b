"""What the orchestrator's audit log says of experiments and of what happens to them. Pure."""

from collections.abc import Iterator

from fedmq.audit.facts import Fact, plain
from fedmq.orchestrator.audit_facts import (
    ExperimentAccepted,
    ExperimentEnded,
    FoldedUpdate,
    RoundFolded,
)
from fedmq.orchestrator.events import Event, Folded
from fedmq.orchestrator.state import Experiment
from fedmq.orchestrator.store import Kept


def accepted(kept: Kept) -> ExperimentAccepted:
    """Return what the log says of a new experiment."""
    spec = kept.spec
    return ExperimentAccepted(
        experiment=kept.experiment,
        researcher=plain(kept.researcher),
        plan=spec.plan.digest,
        dataset=plain(spec.dataset),
        num_rounds=spec.num_rounds,
        quorum=spec.quorum,
        model=kept.initial.digest,
        encoding=str(kept.encoding),
        model_encoding=spec.model_encoding,
    )


def facts_of(
    experiment: str, before: Experiment, event: Event, after: Experiment
) -> Iterator[Fact]:
    """Yield what the log says of an event that changed an experiment."""
    if isinstance(event, Folded):
        yield RoundFolded(
            experiment=experiment,
            round=before.round,
            attempt=before.attempt,
            reference=before.model.digest,
            model=event.model.digest,
            model_bytes=event.model.size_bytes,
            sent="" if event.sent is None else event.sent.digest,
            updates=tuple(
                FoldedUpdate(
                    node=node,
                    update=one.update.digest,
                    update_bytes=one.update.size_bytes,
                    num_cases=one.num_cases,
                )
                for node, one in sorted(before.trained.items())
            ),
        )
    if after.is_over and not before.is_over:
        yield ExperimentEnded(
            experiment=experiment,
            state=str(after.stage),
            num_rounds=after.model_round,
            model=after.model.digest,
        )
