"""Proposals: the terms that an operator is offered, from what was asked and the node's policy."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from fedmq.errors import ConfigurationError
from fedmq.messages.fields import Study
from fedmq.node.hours import local_day
from fedmq.node.plans import Asked, PlanRecord, Plans
from fedmq.node.policy import Policy
from fedmq.node.terms import Dependencies, Limit, Terms

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What an operator says beside the plan; what is left out is as it was asked for."""

    researcher: str = ""
    study: Study | None = None
    datasets: tuple[str, ...] = ()
    until: str = ""
    max_rounds: int | None = None
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def are_none(self) -> bool:
        """Whether nothing was said."""
        return self == Wishes()


def choose_terms(
    plans: Plans,
    record: PlanRecord,
    wishes: Wishes,
    policy: Policy,
    dependencies: Dependencies,
    *,
    now: float,
) -> Terms:
    """Return the terms to agree to: those that others agreed to already, or those of who asks.

    Raises:
        ConfigurationError: nobody asked and the wishes say too little, or they say what cannot be.
    """
    pending = [
        one.terms
        for one in plans.approvals.of(record.digest)
        if len(one.persons) < policy.approvals_needed
        and one.terms.dependencies == dict(dependencies)
    ]
    if wishes.are_none and pending:
        return pending[-1]
    asked = find_asked(plans, record, wishes.researcher)
    return propose_terms(asked, wishes, policy, dependencies, now=now)


def find_asked(plans: Plans, record: PlanRecord, researcher: str) -> Asked:
    """Return the asking to decide on: the newest that waits, else the newest; of one researcher.

    Where nobody of that name has asked, one that says nothing but the name.
    """
    askings = [one for one in plans.askings(record.digest) if researcher in {"", one.researcher}]
    waiting = [one for one in askings if one.code]
    return (waiting or askings or [Asked(researcher=researcher)])[0]


def propose_terms(
    asked: Asked, wishes: Wishes, policy: Policy, dependencies: Dependencies, *, now: float
) -> Terms:
    """Return the terms that fit what was asked, narrowed by the wishes.

    Raises:
        ConfigurationError: it is not said for whom or on what, or a date cannot be.
    """
    datasets = wishes.datasets or ((asked.dataset,) if asked.dataset else ())
    if not asked.researcher or not datasets:
        raise ConfigurationError(
            "it is not known who may run the plan, and on what",
            why="nobody asked for it yet" if not asked.researcher else "no dataset was named",
            fix="wait until somebody asks, or name --researcher and --dataset",
        )
    study = wishes.study or asked.study
    today = local_day(now, policy.zone)
    longest = local_day(now + policy.max_approval_days * _DAY_S, policy.zone)
    until = wishes.until or min([longest, *([study.end] if study else [])])
    if not today <= until <= longest:
        raise ConfigurationError(
            f"an approval cannot hold until {until}",
            why=f"expected: from {today} to {longest}, by max_approval_days or the study's end",
            fix="choose another day, or ask the researcher for the study's new end",
        )
    try:
        return Terms(
            researcher=asked.researcher,
            study=study,
            datasets=tuple(dict.fromkeys(datasets)),
            limits=dict(wishes.limits),
            until=until,
            max_rounds=wishes.max_rounds,
            dependencies=dict(dependencies),
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise ConfigurationError(
            f"the approval's {fault['loc'][0]} cannot be used",
            why=f"{fault['msg']}; got: {fault['input']!r}",
            fix="mend the option",
        ) from error
