"""The policy as a table: what the node knows, what it says."""

from dataclasses import replace
from typing import Any, Final

import pytest

from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import DictionaryReference, Manifest, PlanReference, Study
from fedmq.messages.replies import HELD, RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.hours import parse_hours
from fedmq.node.policy import (
    Course,
    Decision,
    Leg,
    Objection,
    Policy,
    Position,
    Signature,
    Situation,
    judge_request,
)
from fedmq.node.terms import Approval, Request, Terms
from fedmq.types import Digest
from tests.support.mandates import changed, mandate
from tests.support.zones import PARIS, at

DIGEST: Final = Digest("ab" * 32)
OTHER: Final = Digest("cd" * 32)
PLAN: Final = PlanReference(name="tiny", digest=DIGEST, is_shipped=True)
MODEL: Final = Manifest(digest=OTHER, size_bytes=100, chunk_bytes=10)
STUDY: Final = Study(protocol="FEDPET-01", ethics="CPP 2026-117", end="2027-12-31")
ORDER: Final = mandate(PLAN, initial=MODEL, num_rounds=5, seed=1, study=STUDY, quorum=3)
PREPARE: Final = PrepareRequest(mandate=ORDER)
TRAIN: Final = TrainRequest(mandate=ORDER, parameters=MODEL)
EVALUATE: Final = EvaluateRequest(mandate=ORDER, parameters=MODEL)
REQUESTS: Final = (PREPARE, TRAIN, EVALUATE)
TERMS: Final = Terms(
    researcher="ana", study=STUDY, datasets=("petct",), until="2027-06-30", dependencies={}
)
APPROVAL: Final = Approval(terms=TERMS, last_day="2027-06-30")
GOOD: Final = Situation(
    signature=Signature.GOOD,
    num_cases=10,
    decision=Decision.APPROVED,
    found=DIGEST,
    approvals=(APPROVAL,),
)
HOUR: Final = 100.0
"""By the orchestrator's clock."""
NOW: Final = at("2027-03-15 12:00")
"""A Monday, by the node's."""
STRICT: Final = Policy(zone=PARIS)


def objection(  # noqa: PLR0913 - what a test may want otherwise
    request: Request = TRAIN,
    situation: Situation = GOOD,
    policy: Policy = STRICT,
    *,
    number: int | None = None,
    attempt: int = 1,
    expires_at: float | None = None,
    now: float = NOW,
) -> Objection | None:
    """Return the policy's word."""
    envelope = Envelope(
        type=request.TYPE,
        message_id="m",
        sender="orchestrator",
        recipient="chu-lyon",
        experiment="lung",
        round=(0 if isinstance(request, PrepareRequest) else 2) if number is None else number,
        attempt=attempt,
        sent_at=0.0,
        expires_at=expires_at,
    )
    return judge_request(envelope, request, situation, policy, hour=HOUR, now=now)


def judged(*arguments: Any, **others: Any) -> RefusalCode | None:  # noqa: ANN401 - as above
    """Return the code of the policy's word."""
    found = objection(*arguments, **others)
    return None if found is None else found.code


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(
    ("situation", "code"),
    [
        (GOOD, None),
        (replace(GOOD, num_cases=None), RefusalCode.UNKNOWN_DATASET),
        (replace(GOOD, num_cases=9), RefusalCode.TOO_FEW_CASES),
        (replace(GOOD, dictionary=DIGEST), None),
        (replace(GOOD, found=None), RefusalCode.UNKNOWN_PLAN),
        (replace(GOOD, found=OTHER), RefusalCode.PLAN_DIFFERS),
        (replace(GOOD, approvals=()), RefusalCode.PLAN_AWAITS_APPROVAL),
        (replace(GOOD, decision=Decision.REJECTED), RefusalCode.PLAN_REJECTED),
        (replace(GOOD, course=Course(is_over=True)), RefusalCode.STALE),
    ],
)
def test_what_the_operator_decided_holds_for_every_request(
    request_: Request, situation: Situation, code: RefusalCode | None
) -> None:
    """Questions and work are judged alike."""
    assert judged(request_, situation) == code


@pytest.mark.parametrize("decision", [None, Decision.AWAITING, Decision.APPROVED])
def test_only_approvals_let_a_plan_run(decision: Decision | None) -> None:
    """The word that is shown for a plan gives no right."""
    situation = replace(GOOD, decision=decision, approvals=())
    assert judged(TRAIN, situation) == RefusalCode.PLAN_AWAITS_APPROVAL
    assert judged(TRAIN, replace(GOOD, decision=decision)) is None


@pytest.mark.parametrize(
    ("expires_at", "code"),
    [(None, None), (HOUR, None), (HOUR + 1, None), (HOUR - 1, RefusalCode.EXPIRED)],
)
def test_a_request_expires_after_its_time(
    expires_at: float | None, code: RefusalCode | None
) -> None:
    """Up to its last second it may be begun, by the orchestrator's clock."""
    assert judged(expires_at=expires_at) == code


@pytest.mark.parametrize(
    ("newest", "code"),
    [
        (Position(1, 5, Leg.EVALUATE), None),
        (Position(2, 0, Leg.EVALUATE), None),
        (Position(2, 1, Leg.TRAIN), None),
        (Position(2, 1, Leg.EVALUATE), RefusalCode.STALE),
        (Position(2, 2, Leg.TRAIN), RefusalCode.STALE),
        (Position(3, 0, Leg.TRAIN), RefusalCode.STALE),
    ],
)
def test_training_older_than_the_newest_work_is_stale(
    newest: Position, code: RefusalCode | None
) -> None:
    """Rounds count before attempts, attempts before legs; a question has no age."""
    situation = replace(GOOD, course=Course(newest=newest))
    assert judged(TRAIN, situation) == code
    assert judged(PREPARE, situation, number=0, attempt=0) is None


@pytest.mark.parametrize(("least", "code"), [(1, None), (2, RefusalCode.STALE)])
def test_attempts_that_were_cancelled_are_stale(least: int, code: RefusalCode | None) -> None:
    """Also when their request comes after the cancellation."""
    situation = replace(GOOD, course=Course(least_attempt=least))
    assert judged(TRAIN, situation) == code
    assert judged(PREPARE, situation, number=0, attempt=0) is None


def test_limits_are_the_operators() -> None:
    """Of cases and nodes at least, of bytes at most."""
    assert judged(TRAIN, GOOD, replace(STRICT, min_cases=11)) == RefusalCode.TOO_FEW_CASES
    assert judged(TRAIN, GOOD, replace(STRICT, min_nodes=4)) == RefusalCode.TOO_FEW_NODES
    assert judged(TRAIN, GOOD, replace(STRICT, max_payload_bytes=100)) is None
    small = replace(STRICT, max_payload_bytes=99)
    assert judged(TRAIN, GOOD, small) == RefusalCode.PAYLOAD_TOO_LARGE
    assert judged(PREPARE, GOOD, small) is None


@pytest.mark.parametrize(
    ("request_", "number", "attempt", "is_ordered"),
    [
        (PREPARE, 0, 0, True),
        (PREPARE, 1, 0, False),
        (TRAIN, 0, 0, False),
        (TRAIN, 1, 0, True),
        (TRAIN, 5, 2, True),
        (TRAIN, 5, 3, False),
        (TRAIN, 6, 0, False),
        (EVALUATE, 0, 0, False),
        (EVALUATE, 5, 2, True),
        (EVALUATE, 5, 3, False),
        (changed(EVALUATE, evaluate=False), 5, 0, False),
        (changed(TRAIN, evaluate=False), 5, 0, True),
    ],
)
def test_what_is_done_is_what_was_ordered_and_no_more_often(
    request_: Request, number: int, attempt: int, *, is_ordered: bool
) -> None:
    """Five rounds, each tried three times at most, evaluated where the order says so."""
    code = judged(request_, number=number, attempt=attempt)
    assert code == (None if is_ordered else RefusalCode.NOT_MANDATED)


@pytest.mark.parametrize("request_", REQUESTS)
def test_an_experiment_names_its_study_unless_the_operator_needs_none(request_: Request) -> None:
    """And its nodes."""
    without = changed(request_, study=None)
    assert judged(without) == RefusalCode.STUDY_MISSING
    approvals = (replace(APPROVAL, terms=TERMS.model_copy(update={"study": None})),)
    relaxed = replace(STRICT, require_study=False)
    assert judged(without, replace(GOOD, approvals=approvals), relaxed) is None
    assert judged(changed(request_, quorum=2)) == RefusalCode.TOO_FEW_NODES


@pytest.mark.parametrize("request_", REQUESTS)
def test_updates_and_models_travel_in_an_encoding_that_the_node_knows(request_: Request) -> None:
    """One of a later version is refused by its own code, not as something malformed."""
    assert judged(changed(request_, update_encoding="int8")) is None
    assert judged(changed(request_, model_encoding="bf16")) is None
    for unknown in ({"update_encoding": "int4"}, {"model_encoding": "int8"}):
        assert judged(changed(request_, **unknown)) == RefusalCode.UNKNOWN_ENCODING


def test_a_study_ends_with_its_last_day() -> None:
    """By the local calendar; an approval that holds longer does not help."""
    approvals = (replace(APPROVAL, last_day="2030-01-01"),)
    situation = replace(GOOD, approvals=approvals)
    assert judged(TRAIN, situation, now=at("2027-12-31 23:59")) is None
    assert judged(TRAIN, situation, now=at("2028-01-01 00:00")) == RefusalCode.STUDY_ENDED


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (replace(STRICT, is_paused=True), Objection(code=RefusalCode.NODE_PAUSED)),
        (
            replace(STRICT, hours=parse_hours(["mon-fri 19:00-07:00", "sat-sun"])),
            Objection(code=RefusalCode.OUT_OF_HOURS, retry_at=at("2027-03-15 19:00")),
        ),
        (replace(STRICT, hours=parse_hours(["mon 12:00-12:01"])), None),
    ],
)
@pytest.mark.parametrize("request_", REQUESTS)
def test_nothing_begins_out_of_hours(
    request_: Request, policy: Policy, expected: Objection | None
) -> None:
    """And the node says when it means to go on."""
    found = objection(request_, GOOD, policy)
    assert found == expected
    assert found is None or found.is_held


def test_what_can_never_be_is_said_before_the_hour() -> None:
    """Nobody waits until evening for a no."""
    closed = replace(STRICT, is_paused=True)
    assert judged(TRAIN, replace(GOOD, num_cases=None), closed) == RefusalCode.UNKNOWN_DATASET
    assert judged(TRAIN, replace(GOOD, approvals=()), closed) == RefusalCode.PLAN_AWAITS_APPROVAL


def test_the_rounds_of_a_day_are_counted_by_the_local_calendar() -> None:
    """Questions, evaluations and a round that began are no new round; the next day is."""
    policy = replace(STRICT, max_rounds_per_day=2)
    full = replace(GOOD, rounds_today=2)
    midnight = at("2027-03-16 00:00")
    assert objection(TRAIN, replace(GOOD, rounds_today=1), policy) is None
    wait = Objection(code=RefusalCode.ROUNDS_OF_TODAY, retry_at=midnight)
    assert objection(TRAIN, full, policy) == wait
    assert objection(TRAIN, replace(full, has_begun=True), policy) is None
    assert objection(EVALUATE, full, policy) is None
    assert objection(PREPARE, full, policy) is None
    evenings = replace(policy, hours=parse_hours(["mon-sun 08:00-20:00"]))
    told = objection(TRAIN, full, evenings)
    assert told is not None
    assert told.retry_at == at("2027-03-16 08:00")


def test_only_what_may_change_is_held() -> None:
    """Everything else is a last word."""
    held = {code for code in RefusalCode if Objection(code=code).is_held}
    assert held == HELD
    assert not held & {RefusalCode.PLAN_REJECTED, RefusalCode.STUDY_ENDED, RefusalCode.EXPIRED}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(
    ("own", "code"),
    [
        (DIGEST, None),
        (None, RefusalCode.DICTIONARY_DIFFERS),
        (OTHER, RefusalCode.DICTIONARY_DIFFERS),
    ],
    ids=["the same", "none", "another"],
)
def test_data_that_mean_something_else_are_not_used(
    request_: Request, own: Digest | None, code: RefusalCode | None
) -> None:
    """It is held: the operator may read the data by that dictionary."""
    asked = DictionaryReference(name="lung-io", version="1.0", digest=DIGEST)
    found = objection(changed(request_, dictionary=asked), replace(GOOD, dictionary=own))
    assert (None if found is None else found.code) == code
    assert found is None or found.is_held
