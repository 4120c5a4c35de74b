"""Requests: what nodes are asked, made from the experiment alone."""

from fedmq.messages.fields import Study
from fedmq.messages.payloads import make_manifest
from fedmq.orchestrator.events import AskWork
from fedmq.orchestrator.requests import make_prepare, make_work
from tests.unit.messages.examples import SPEC


def test_nodes_count_their_cases_with_the_split_that_they_will_train_on() -> None:
    """The question whether a node takes part names the same split as the orders after it.

    And the same researcher, study and quorum: each is judged by itself.
    """
    study = Study(protocol="P", ethics="E", end="2027-12-31")
    spec = SPEC.model_copy(update={"seed": 41, "validation_share": 0.35, "study": study})
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
        "ana",
    )
    assert (order.split_seed, order.validation_share) == (41, 0.35)
    for asked in (question, order):
        assert (asked.researcher, asked.study, asked.quorum) == ("ana", study, spec.quorum)
    assert question.num_rounds == spec.num_rounds
