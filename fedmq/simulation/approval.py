"""What a simulated node's operator allows: whatever the simulation asks for, and for ever."""

from typing import Final

from fedmq.messages.fields import PlanReference
from fedmq.node.plans import Asked
from fedmq.node.policy import Policy
from fedmq.node.proposals import Wishes, propose_terms
from fedmq.node.records import Records

RELAXED: Final = Policy(
    min_cases=1,
    min_nodes=1,
    require_study=False,
    # Clocks of simulated machines are set by ten years and back.
    max_approval_days=100_000,
)


def approve_plan(
    records: Records, plan: PlanReference, source: str | None, asked: Asked, *, now: float
) -> None:
    """Approve a plan for exactly what is asked; its packages are not looked at."""
    records.plans.ask(plan, source, asked, now=now)
    terms = propose_terms(asked, Wishes(), RELAXED, {}, now=now)
    record = records.plans.find(plan.digest)
    records.plans.approve(record, terms, "the simulation", needed=1, now=now)
