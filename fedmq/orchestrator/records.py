"""Records: what is kept and shown of a round that closed. Pure."""

import math
from collections.abc import Iterable, Mapping

from fedmq.messages.fields import MAX_METRICS, RatioField
from fedmq.messages.submissions import NodeOutcome, RoundRecord
from fedmq.orchestrator.collection import Answered, Verdict
from fedmq.orchestrator.events import Evaluated, Trained
from fedmq.types import Digest, NodeId

UPDATED = "updated"
MISSED = "missed"


def add_metrics(parts: Iterable[Mapping[str, RatioField]]) -> dict[str, RatioField]:
    """Return the federation's metrics: numerators and denominators summed, never a mean of means.

    The parts are taken in the order given, so that the sums are the same on every run. A sum that
    is no number any more is left out, and so are the last names where there are too many: what
    nodes say must not make a record that cannot be kept.
    """
    sums: dict[str, tuple[float, float]] = {}
    for part in parts:
        for name, ratio in part.items():
            numerator, denominator = sums.get(name, (0.0, 0.0))
            sums[name] = (numerator + ratio.numerator, denominator + ratio.denominator)
    names = [name for name in sorted(sums) if all(map(math.isfinite, sums[name]))]
    return {
        name: RatioField(numerator=sums[name][0], denominator=sums[name][1])
        for name in names[:MAX_METRICS]
    }


def make_record(  # noqa: PLR0913 - a record is the sum of a round's parts
    *,
    round_number: int,
    attempt: int,
    model: Digest,
    answers: Mapping[NodeId, Answered],
    trained: Mapping[NodeId, Trained],
    evaluated: Mapping[NodeId, Evaluated],
    cohort: Iterable[NodeId],
    duration_s: float,
) -> RoundRecord:
    """Return the record of a closed round; its bytes are counted by the service."""
    return RoundRecord(
        round=round_number,
        attempt=attempt,
        model=model,
        outcomes=[
            _outcome(node, answers.get(node), trained.get(node)) for node in sorted(set(cohort))
        ],
        train_metrics=add_metrics(trained[node].metrics for node in sorted(trained)),
        metrics=add_metrics(evaluated[node].metrics for node in sorted(evaluated)),
        bytes_up=0,
        bytes_down=0,
        duration_s=max(0.0, duration_s),
    )


def _outcome(node: NodeId, answer: Answered | None, trained: Trained | None) -> NodeOutcome:
    if trained is not None:
        return NodeOutcome(
            node=node,
            outcome=UPDATED,
            num_cases=trained.num_cases,
            duration_s=trained.duration_s,
        )
    code = MISSED if answer is None or answer.verdict is Verdict.YES else answer.code
    return NodeOutcome(node=node, outcome=code, num_cases=0, duration_s=0.0)
