"""Mandates as tests need them: unsigned, and changed as a researcher would, not on the way."""

from typing import Any, Final, TypeVar

from fedmq.messages.fields import Manifest, PlanReference
from fedmq.messages.mandates import ExperimentSpec, Mandate, Order
from fedmq.messages.requests import Asking
from fedmq.types import ORCHESTRATOR

R = TypeVar("R", bound=Asking)

_NOTHING: Final = Manifest(digest="00" * 32, size_bytes=1, chunk_bytes=1)


def mandate(
    plan: PlanReference,
    *,
    experiment: str = "lung",
    researcher: str = "ana",
    orchestrator: str = ORCHESTRATOR,
    initial: Manifest = _NOTHING,
    **spec: Any,  # noqa: ANN401 - fields of the spec
) -> Mandate:
    """Return what a researcher orders, with what a test says of the experiment."""
    said = {"name": "lung", "purpose": "a test", "num_rounds": 100, "quorum": 2, "dataset": "petct"}
    order = Order(
        experiment=experiment,
        researcher=researcher,
        orchestrator=orchestrator,
        spec=ExperimentSpec.model_validate({**said, "plan": plan, **spec}),
        initial=initial,
    )
    return mandated(order)


def mandated(order: Order) -> Mandate:
    """Return an order that nobody signed."""
    return Mandate(content=order.model_dump_json(), signature="")


def changed(request: R, *, researcher: str = "", **spec: object) -> R:
    """Return a request of another order, with other fields of its experiment."""
    order = request.mandate.order
    other = order.model_copy(
        update={
            "spec": order.spec.model_copy(update=spec),
            "researcher": researcher or order.researcher,
        }
    )
    return request.model_copy(update={"mandate": mandated(other)})
