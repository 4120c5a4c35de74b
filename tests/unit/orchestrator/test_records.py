"""Records: sums of what nodes said, and what each of them did."""

import pytest

from fedmq.messages.fields import MAX_METRICS, Manifest, RatioField
from fedmq.messages.submissions import NodeOutcome, RoundRecord
from fedmq.orchestrator.collection import Answered, Verdict
from fedmq.orchestrator.events import Evaluated, Trained
from fedmq.orchestrator.records import add_metrics, make_record
from fedmq.types import Digest, NodeId

A, B, C, D = (NodeId(name) for name in "abcd")
MODEL = Digest("1" * 64)


def ratio(numerator: float, denominator: float) -> RatioField:
    """Return a metric of a node."""
    return RatioField(numerator=numerator, denominator=denominator)


def trained(node: NodeId, metrics: dict[str, RatioField], num_cases: int = 5) -> Trained:
    """Return the arrival of an update in round 3."""
    return Trained(
        node=node,
        round=3,
        attempt=0,
        update=Manifest(digest=Digest("2" * 64), size_bytes=1, chunk_bytes=1),
        num_cases=num_cases,
        metrics=metrics,
        duration_s=1.5,
    )


def test_metrics_are_summed_over_their_denominators() -> None:
    """1 of 10 and 9 of 10 and 0 of 20 are 10 of 40, not the mean of three means."""
    added = add_metrics([{"hits": ratio(1, 10)}, {"hits": ratio(9, 10)}, {"hits": ratio(0, 20)}])
    assert added == {"hits": ratio(10, 40)}


def test_a_metric_that_some_nodes_lack_is_summed_over_the_others() -> None:
    """A node without the modality says nothing of it."""
    added = add_metrics([{"loss": ratio(1, 2), "dice": ratio(3, 4)}, {"loss": ratio(10, 20)}])
    assert added == {"dice": ratio(3, 4), "loss": ratio(11, 22)}


def test_the_sum_is_taken_in_the_order_given() -> None:
    """Floats do not commute: 0.1 + 0.2 + 0.3 is another number than 0.3 + 0.2 + 0.1."""
    parts = [{"loss": ratio(value, 1)} for value in (0.1, 0.2, 0.3)]
    assert add_metrics(parts)["loss"].numerator == 0.1 + 0.2 + 0.3
    assert add_metrics(parts[::-1])["loss"].numerator == 0.3 + 0.2 + 0.1
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1


def test_a_sum_that_is_no_number_is_left_out() -> None:
    """Two nodes with huge figures must not make a record that cannot be kept."""
    huge = {"loss": ratio(1e308, 1), "dice": ratio(1, 1)}
    assert add_metrics([huge, huge]) == {"dice": ratio(2, 2)}


def test_there_are_no_more_metrics_than_a_message_holds() -> None:
    """Two nodes that name their metrics differently must not make a record that cannot be kept."""
    parts = [{f"{node}_{n:03}": ratio(1, 1) for n in range(MAX_METRICS)} for node in "ab"]
    added = add_metrics(parts)
    assert list(added) == [f"a_{n:03}" for n in range(MAX_METRICS)]


def a_record(duration_s: float = 7.0) -> RoundRecord:
    """Return the record of a round of four nodes that end in four ways."""
    failed = Answered(node=B, verdict=Verdict.FAILED, code="disk_full")
    refused = Answered(node=C, verdict=Verdict.REFUSED, code="too_few_cases")
    return make_record(
        round_number=3,
        attempt=1,
        model=MODEL,
        answers={A: Answered(node=A, verdict=Verdict.YES), C: refused, B: failed},
        trained={A: trained(A, {"loss": ratio(1, 5)})},
        evaluated={
            node: Evaluated(
                node=node,
                round=3,
                attempt=1,
                num_cases=2,
                metrics={"loss": ratio(2, 2)},
                duration_s=1.0,
            )
            for node in (D, A)
        },
        cohort=[D, C, B, A],
        duration_s=duration_s,
    )


def test_a_record_says_of_each_node_what_it_did() -> None:
    """By name: updated, its code, or missed; cases and time of updates only."""
    assert a_record().outcomes == [
        NodeOutcome(node=A, outcome="updated", num_cases=5, duration_s=1.5),
        NodeOutcome(node=B, outcome="disk_full", num_cases=0, duration_s=0.0),
        NodeOutcome(node=C, outcome="too_few_cases", num_cases=0, duration_s=0.0),
        NodeOutcome(node=D, outcome="missed", num_cases=0, duration_s=0.0),
    ]


def test_a_record_holds_the_round_and_both_sums() -> None:
    """Training and evaluation apart."""
    record = a_record()
    assert (record.round, record.attempt, record.model) == (3, 1, MODEL)
    assert record.train_metrics == {"loss": ratio(1, 5)}
    assert record.metrics == {"loss": ratio(4, 4)}
    assert record.duration_s == 7.0


@pytest.mark.parametrize("duration_s", [-1.0, 0.0])
def test_a_clock_that_was_set_back_makes_no_negative_time(duration_s: float) -> None:
    """A record must be kept all the same."""
    assert a_record(duration_s).duration_s == 0.0
