"""Requests: what nodes are asked is the researcher's order, word for word."""

from typing import Literal

import pytest

from fedmq.messages.payloads import make_manifest
from fedmq.orchestrator.events import AskWork
from fedmq.orchestrator.requests import make_work
from tests.unit.messages.examples import MANDATE


@pytest.mark.parametrize("leg", ["train", "evaluate"])
def test_an_order_of_work_is_the_mandate_and_a_model(leg: Literal["train", "evaluate"]) -> None:
    """The orchestrator adds nothing of its own."""
    model = make_manifest([b"model"], chunk_bytes=16)
    ask = AskWork(leg=leg, nodes=(), round=1, attempt=0, model=model, deadline=9.0, is_new=True)
    request = make_work(MANDATE, ask)
    assert f"{leg}.request" == request.TYPE
    assert request.model_dump() == {
        "mandate": MANDATE.model_dump(),
        "parameters": model.model_dump(),
    }
