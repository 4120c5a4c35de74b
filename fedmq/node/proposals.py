"""Proposals: the terms that an operator is offered, from what was asked and the node's policy."""

from collections.abc import Mapping, Sequence
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
    experiment: str = ""
    """The one whose asking is meant."""
    study: Study | None = None
    datasets: tuple[str, ...] = ()
    until: str = ""
    max_rounds: int | None = None
    limits: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def say_no_terms(self) -> bool:
        """Whether they say no more than whose asking is meant."""
        return self == Wishes(researcher=self.researcher, experiment=self.experiment)


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
        ConfigurationError: nobody asked and the wishes say too little, or they say what cannot be;
            or there is more than one that they may mean.
    """
    asked = find_askings(plans, record, wishes)
    pending = [
        one.terms
        for one in plans.approvals.of(record.digest)
        if len(one.persons) < policy.approvals_needed
        and one.terms.dependencies == dict(dependencies)
        and wishes.researcher in {"", one.terms.researcher}
        and (not wishes.experiment or any(_covers(one.terms, each) for each in asked))
    ]
    if wishes.say_no_terms and pending:
        others = [one for one in asked if one.code and not any(_covers(t, one) for t in pending)]
        if len(pending) + len(others) > 1:
            raise _ambiguous(record, [*map(_of_terms, pending), *others])
        return pending[0]
    different = {_meant(one, wishes): one for one in reversed(asked)}
    if len(different) > 1:
        raise _ambiguous(record, list(reversed(different.values())))
    whose = asked[0] if asked else Asked(researcher=wishes.researcher)
    return propose_terms(whose, wishes, policy, dependencies, now=now)


def find_askings(plans: Plans, record: PlanRecord, wishes: Wishes) -> tuple[Asked, ...]:
    """Return the askings to decide on, the newest first: those that wait, else all.

    Raises:
        ConfigurationError: the experiment that was named did not ask.
    """
    askings = tuple(
        one
        for one in plans.askings(record.digest)
        if wishes.researcher in {"", one.researcher} and wishes.experiment in {"", one.experiment}
    )
    if wishes.experiment and not askings:
        raise ConfigurationError(
            f"{wishes.experiment} did not ask for {record.name} {record.digest[:12]}",
            why="expected: an experiment that asked for these bytes, of the researcher if named",
            fix=f"fedmq node plans show {record.digest[:12]}",
        )
    return tuple(one for one in askings if one.code) or askings


def _covers(terms: Terms, asked: Asked) -> bool:
    """Return whether what is asked is within the terms, as far as an asking says."""
    return (
        terms.researcher == asked.researcher
        and terms.study == asked.study
        and asked.dataset in terms.datasets
    )


def _meant(asked: Asked, wishes: Wishes) -> tuple[str, Study | None, tuple[str, ...]]:
    """Return what an approval of this asking would be for."""
    return asked.researcher, wishes.study or asked.study, wishes.datasets or (asked.dataset,)


def _of_terms(terms: Terms) -> Asked:
    return Asked(researcher=terms.researcher, study=terms.study, dataset=", ".join(terms.datasets))


def _describe(asked: Asked) -> str:
    study = asked.study
    return ", ".join(
        [
            f"{asked.researcher} on {asked.dataset}",
            f"study {study.protocol} {study.ethics} {study.end}" if study else "no study",
            f"in {asked.experiment}" if asked.experiment else "which one person approved",
        ]
    )


def _ambiguous(record: PlanRecord, askings: Sequence[Asked]) -> ConfigurationError:
    short = record.digest[:12]
    return ConfigurationError(
        f"{len(askings)} different askings wait for {record.name} {short}: nothing was approved",
        why="; ".join(map(_describe, askings)),
        fix=f"look at them (fedmq node plans show {short}), then name one: --researcher NAME, or"
        " --experiment ID; or name --until or other terms that the first person chose",
    )


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
