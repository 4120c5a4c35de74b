"""The policy as a table: what the node knows, what it says."""

from dataclasses import replace
from typing import Final

import pytest

from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Manifest, PlanReference
from fedmq.messages.replies import RefusalCode
from fedmq.messages.requests import EvaluateRequest, PrepareRequest, TrainRequest
from fedmq.node.policy import (
    Course,
    Decision,
    Leg,
    Limits,
    Position,
    Request,
    Situation,
    judge_request,
)
from fedmq.types import Digest

DIGEST: Final = Digest("ab" * 32)
OTHER: Final = Digest("cd" * 32)
PLAN: Final = PlanReference(name="tiny", digest=DIGEST, is_shipped=True)
MODEL: Final = Manifest(digest=OTHER, size_bytes=100, chunk_bytes=10)
PREPARE: Final = PrepareRequest(
    plan=PLAN,
    dataset="petct",
    config={},
    split_seed=1,
    validation_share=0.2,
    researcher="ana",
    purpose="a test",
)
TRAIN: Final = TrainRequest(
    plan=PLAN,
    dataset="petct",
    config={},
    parameters=MODEL,
    seed=1,
    split_seed=1,
    validation_share=0.2,
    num_threads=1,
)
EVALUATE: Final = EvaluateRequest(**TRAIN.model_dump())
GOOD: Final = Situation(num_cases=3, decision=Decision.APPROVED, found=DIGEST)
NOW: Final = 100.0


def judged(
    request: Request = TRAIN,
    situation: Situation = GOOD,
    *,
    number: int = 2,
    attempt: int = 1,
    expires_at: float | None = None,
    limits: Limits | None = None,
) -> RefusalCode | None:
    """Return the policy's word."""
    envelope = Envelope(
        type=request.TYPE,
        message_id="m",
        sender="orchestrator",
        recipient="chu-lyon",
        experiment="lung",
        round=number,
        attempt=attempt,
        sent_at=0.0,
        expires_at=expires_at,
    )
    return judge_request(envelope, request, situation, limits or Limits(), now=NOW)


@pytest.mark.parametrize("request_", [PREPARE, TRAIN, EVALUATE])
@pytest.mark.parametrize(
    ("situation", "code"),
    [
        (GOOD, None),
        (replace(GOOD, num_cases=None), RefusalCode.UNKNOWN_DATASET),
        (replace(GOOD, num_cases=0), RefusalCode.TOO_FEW_CASES),
        (replace(GOOD, found=None), RefusalCode.UNKNOWN_PLAN),
        (replace(GOOD, found=OTHER), RefusalCode.PLAN_DIFFERS),
        (replace(GOOD, decision=None), RefusalCode.PLAN_AWAITS_APPROVAL),
        (replace(GOOD, decision=Decision.AWAITING), RefusalCode.PLAN_AWAITS_APPROVAL),
        (replace(GOOD, decision=Decision.REJECTED), RefusalCode.PLAN_REJECTED),
        (replace(GOOD, course=Course(is_over=True)), RefusalCode.STALE),
    ],
)
def test_what_the_operator_decided_holds_for_every_request(
    request_: Request, situation: Situation, code: RefusalCode | None
) -> None:
    """Questions and work are judged alike."""
    assert judged(request_, situation) == code


@pytest.mark.parametrize(
    ("expires_at", "code"),
    [(None, None), (NOW, None), (NOW + 1, None), (NOW - 1, RefusalCode.EXPIRED)],
)
def test_a_request_expires_after_its_time(
    expires_at: float | None, code: RefusalCode | None
) -> None:
    """Up to its last second it may be begun."""
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
    """Of cases at least, of bytes at most."""
    assert judged(limits=Limits(min_cases=3)) is None
    assert judged(limits=Limits(min_cases=4)) == RefusalCode.TOO_FEW_CASES
    assert judged(limits=Limits(max_payload_bytes=100)) is None
    assert judged(limits=Limits(max_payload_bytes=99)) == RefusalCode.PAYLOAD_TOO_LARGE
    assert judged(PREPARE, limits=Limits(max_payload_bytes=99)) is None
