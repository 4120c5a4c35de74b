"""Requests: what nodes are asked, made from the experiment alone."""

from fedmq.messages.payloads import make_manifest
from fedmq.orchestrator.events import AskWork
from fedmq.orchestrator.requests import make_prepare, make_work
from tests.unit.messages.examples import SPEC


def test_nodes_count_their_cases_with_the_split_that_they_will_train_on() -> None:
    """The question whether a node takes part names the same split as the orders after it."""
    spec = SPEC.model_copy(update={"seed": 41, "validation_share": 0.35})
    question = make_prepare(spec, None, "ana")
    assert (question.split_seed, question.validation_share) == (41, 0.35)
    order = make_work(
        spec,
        AskWork(
            leg="train",
            nodes=(),
            round=1,
            attempt=0,
            model=make_manifest([b"model"], chunk_bytes=16),
            deadline=9.0,
            is_new=True,
        ),
    )
    assert (order.split_seed, order.validation_share) == (41, 0.35)
