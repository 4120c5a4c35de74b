"""Requests: what nodes are asked is the researcher's order, word for word."""

import pytest

from fedmq.messages.payloads import make_manifest
from fedmq.messages.requests import Counted
from fedmq.orchestrator.events import AskWork, Leg
from fedmq.orchestrator.requests import make_work
from fedmq.types import NodeId
from tests.unit.messages.examples import MANDATE

LYON, BASEL = NodeId("chu-lyon"), NodeId("umc-basel")
COUNTED = Counted(round=1, attempt=2)


@pytest.mark.parametrize(
    ("leg", "node", "more"),
    [
        ("train", LYON, {"counted": {"round": 1, "attempt": 2}}),
        ("train", BASEL, {"counted": None}),
        ("evaluate", LYON, {}),
    ],
)
def test_an_order_of_work_is_the_mandate_and_a_model(
    leg: Leg, node: NodeId, more: dict[str, object]
) -> None:
    """The orchestrator adds nothing of its own but which update of the node is in a model."""
    model = make_manifest([b"model"], chunk_bytes=16)
    ask = AskWork(
        leg=leg,
        nodes=(),
        round=1,
        attempt=0,
        model=model,
        deadline=9.0,
        is_new=True,
        counted={LYON: COUNTED},
    )
    request = make_work(MANDATE, ask, node)
    assert f"{leg}.request" == request.TYPE
    assert request.model_dump() == {
        "mandate": MANDATE.model_dump(),
        "parameters": model.model_dump(),
        **more,
    }
