"""Terms: for whom, for what and until when an operator approved a plan's exact bytes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from fedmq.errors import ConfigurationError
from fedmq.messages.fields import Config, ConfigValue, Day, Id, Number, ShortText, Study, Value
from fedmq.messages.replies import RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest

Request = PrepareRequest | TrainRequest | EvaluateRequest
Dependencies = Mapping[str, str]
"""Package -> the version that is installed."""

_BETWEEN: Final = ".."


class Limit(Value):
    """What a setting of a plan may be: a number in a range, or one of some words."""

    low: Number | None = None
    high: Number | None = None
    words: Annotated[tuple[ShortText, ...], Field(max_length=100)] = ()

    def __str__(self) -> str:
        if self.words:
            return ",".join(self.words)
        low, high = ("" if end is None else f"{end:g}" for end in (self.low, self.high))
        return f"{low}{_BETWEEN}{high}"

    def holds(self, value: ConfigValue) -> bool:
        """Return whether a setting, or each number of a list, is allowed."""
        if isinstance(value, list):
            return bool(value) and all(map(self.holds, value))
        if self.words:
            return _word(value) in self.words
        if isinstance(value, bool | str):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Terms(Value):
    """What an approval says beside the plan's digest."""

    researcher: Id
    study: Study | None
    datasets: Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=1_000)]
    limits: dict[ShortText, Limit] = Field(default_factory=dict)
    """Of settings; one that is limited has to be set. The plan's own ranges hold besides."""
    until: Day
    """The last day."""
    max_rounds: Annotated[int, Field(ge=1)] | None = None
    dependencies: dict[str, str]
    """The packages that the plan ran with when it was approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Terms to which as many persons agreed as the node's policy needs."""

    terms: Terms
    last_day: str
    """The last day, by the terms and by how long the policy lets an approval hold."""
    num_rounds: int = 0
    """Rounds that were trained under it, without the one that is asked for."""


def parse_limit(text: str) -> tuple[str, Limit]:
    """Return the setting and the limit that `key=low..high` or `key=one,other` names.

    Raises:
        ConfigurationError: it is neither.
    """
    key, _, allowed = text.partition("=")
    low, between, high = allowed.partition(_BETWEEN)
    fault = ConfigurationError(
        f"{text!r} limits nothing",
        why="expected: key=low..high, key=low.., key=..high, or key=one,other",
        fix="mend the limit",
    )
    if not key or not allowed or allowed == _BETWEEN:
        raise fault
    try:
        if not between:
            return key, Limit(words=tuple(word.strip() for word in allowed.split(",")))
        return key, Limit(low=float(low) if low else None, high=float(high) if high else None)
    except ValueError as error:
        raise fault from error


def judge_terms(
    request: Request, approvals: tuple[Approval, ...], dependencies: Dependencies, *, today: str
) -> RefusalCode | None:
    """Return why no approval holds for a request: that of the one which fits best; None: one does.

    `today` is the local date; `dependencies` are installed now.
    """
    faults = [_faults(request, one, dependencies, today) for one in approvals]
    if not faults:
        return RefusalCode.PLAN_AWAITS_APPROVAL
    # Whoever fails a later question has answered those before it.
    best = max(faults, key=_num_answered)
    return next((code for code, is_wrong in best if is_wrong), None)


def _faults(
    request: Request, approval: Approval, dependencies: Dependencies, today: str
) -> tuple[tuple[RefusalCode, bool], ...]:
    """Return the questions that a request has to answer, in order, and which it fails."""
    terms = approval.terms
    return (
        (RefusalCode.RESEARCHER_NOT_APPROVED, request.researcher != terms.researcher),
        (RefusalCode.STUDY_NOT_APPROVED, request.spec.study != terms.study),
        (RefusalCode.DATASET_NOT_APPROVED, request.spec.dataset not in terms.datasets),
        (RefusalCode.APPROVAL_EXPIRED, today > approval.last_day),
        (RefusalCode.DEPENDENCIES_CHANGED, dict(dependencies) != terms.dependencies),
        (RefusalCode.CONFIG_OUT_OF_RANGE, not _is_within(request.spec.config, terms.limits)),
        (RefusalCode.ROUNDS_NOT_APPROVED, not _has_rounds(request, approval)),
    )


def _num_answered(faults: tuple[tuple[RefusalCode, bool], ...]) -> int:
    wrong = (number for number, (_, is_wrong) in enumerate(faults) if is_wrong)
    return next(wrong, len(faults))


def _is_within(config: Config, limits: Mapping[str, Limit]) -> bool:
    # What is not set is the plan's default, which nobody here knows without running the plan.
    return all(key in config and limit.holds(config[key]) for key, limit in limits.items())


def _has_rounds(request: Request, approval: Approval) -> bool:
    most = approval.terms.max_rounds
    if most is None:
        return True
    match request:
        case PrepareRequest(spec=spec):
            return approval.num_rounds + spec.num_rounds <= most
        case TrainRequest():
            return approval.num_rounds < most
        case EvaluateRequest():
            return True


def _word(value: ConfigValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
