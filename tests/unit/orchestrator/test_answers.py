"""Answers: what nodes' messages mean, which experiments can be led, what researchers are shown."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.errors import ProtocolError
from fedmq.messages.codec import Message, encode
from fedmq.messages.envelope import Envelope
from fedmq.messages.fields import Config, Manifest, PlanReference, RatioField
from fedmq.messages.mandates import MAX_SPEC_BYTES
from fedmq.messages.registry import Body
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    FailureCode,
    PrepareReply,
    Refusal,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.submissions import (
    ExperimentReport,
    LateUpdate,
    NodeOutcome,
    Rejection,
    RoundRecord,
)
from fedmq.orchestrator import answers
from fedmq.orchestrator.events import (
    Agreed,
    Declined,
    Deferred,
    Evaluated,
    Event,
    Fell,
    Leg,
    Trained,
)
from fedmq.orchestrator.experiment import begin
from fedmq.orchestrator.store import Kept
from fedmq.parameters import save_parameters
from fedmq.types import Digest, NodeId
from tests.support.files import stored
from tests.support.mandates import mandate

LYON = NodeId("chu-lyon")
MANIFEST = Manifest(digest=Digest("a" * 64), size_bytes=10, chunk_bytes=4)
METRICS = {"loss": RatioField(numerator=1.0, denominator=2.0)}


def envelope(body: Body) -> Envelope:
    """Return the envelope of what a node says in round 3, attempt 1."""
    return Envelope(
        type=body.TYPE,
        message_id="m",
        sender=LYON,
        recipient="orchestrator",
        experiment="lung",
        round=3,
        attempt=1,
        sent_at=0.0,
    )


def says_no(request_type: str, code: RefusalCode = RefusalCode.EXPIRED) -> Refusal:
    """Return a refusal."""
    return Refusal(code=code, request_type=request_type)


def broke(request_type: str) -> Failure:
    """Return a failure."""
    return Failure(code=FailureCode.DISK_FULL, request_type=request_type, incident="i")


def put_off(
    leg: Leg, code: str, *, retry_at: float | None = None, until: float | None = None
) -> Deferred:
    """Return the event of a not yet in a leg."""
    return Deferred(
        node=LYON, round=3, attempt=1, leg=leg, code=code, retry_at=retry_at, until=until
    )


def fell(leg: str, code: str, *, is_refusal: bool) -> Fell:
    """Return the event of a no in a leg."""
    return Fell.model_validate(
        {
            "node": LYON,
            "round": 3,
            "attempt": 1,
            "leg": leg,
            "code": code,
            "is_refusal": is_refusal,
        }
    )


TRAIN_REPLY = TrainReply(update=MANIFEST, num_cases=7, metrics=METRICS, duration_s=1.0)


@pytest.mark.parametrize(
    ("reply", "fault", "event"),
    [
        (
            PrepareReply(num_training_cases=1, num_validation_cases=1),
            None,
            Agreed(node=LYON),
        ),
        (
            TRAIN_REPLY,
            None,
            Trained(
                node=LYON,
                round=3,
                attempt=1,
                update=MANIFEST,
                num_cases=7,
                metrics=METRICS,
                duration_s=1.0,
            ),
        ),
        (TRAIN_REPLY, "update_misshapen", fell("train", "update_misshapen", is_refusal=False)),
        (
            EvaluateReply(num_cases=4, metrics=METRICS, duration_s=2.0),
            None,
            Evaluated(node=LYON, round=3, attempt=1, num_cases=4, metrics=METRICS, duration_s=2.0),
        ),
        (says_no("train.request"), None, fell("train", "expired", is_refusal=True)),
        (says_no("evaluate.request"), None, fell("evaluate", "expired", is_refusal=True)),
        (broke("train.request"), None, fell("train", "disk_full", is_refusal=False)),
        (broke("evaluate.request"), None, fell("evaluate", "disk_full", is_refusal=False)),
        (
            says_no("prepare.request", RefusalCode.UNKNOWN_PLAN),
            None,
            Declined(node=LYON, code="unknown_plan", is_final=True),
        ),
        (
            says_no("prepare.request", RefusalCode.PLAN_AWAITS_APPROVAL),
            None,
            Declined(node=LYON, code="plan_awaits_approval", is_final=False),
        ),
        (
            Refusal(code=RefusalCode.OUT_OF_HOURS, request_type="prepare.request", retry_at=50.0),
            None,
            Declined(node=LYON, code="out_of_hours", is_final=False, retry_at=50.0),
        ),
        (
            Refusal(code=RefusalCode.OUT_OF_HOURS, request_type="train.request", retry_at=50.0),
            None,
            put_off("train", "out_of_hours", retry_at=50.0, until=53.0),
        ),
        (
            says_no("evaluate.request", RefusalCode.APPROVAL_EXPIRED),
            None,
            put_off("evaluate", "approval_expired"),
        ),
        (
            broke("prepare.request"),
            None,
            Declined(node=LYON, code="disk_full", is_final=True),
        ),
    ],
)
def test_a_reply_is_the_event_that_the_table_says(
    reply: PrepareReply | TrainReply | EvaluateReply | Refusal | Failure,
    fault: str | None,
    event: Event,
) -> None:
    """Each row: what a node says, what is wrong with its update, the event."""
    assert answers.read_reply(reply, envelope(reply), fault, ahead_s=3.0) == event


@pytest.mark.parametrize("reply", [says_no("ping.request"), broke("describe.request")])
def test_a_no_to_what_was_never_asked_is_none(reply: Refusal | Failure) -> None:
    """It must not count as a failed training."""
    with pytest.raises(ProtocolError) as caught:
        answers.read_reply(reply, envelope(reply), None)
    assert caught.value.reason == "unexpected_type"


def kept(
    *,
    experiment: str = "lung",
    nodes: tuple[str, ...] = ("a", "b"),
    quorum: int = 2,
    is_shipped: bool = False,
    source: str | None = None,
    config: Config | None = None,
    **spec: str,
) -> Kept:
    """Return an experiment that can be led."""
    plan = PlanReference(name="plan", digest=Digest("0" * 64), is_shipped=is_shipped)
    order = mandate(
        plan,
        experiment=experiment,
        nodes=list(nodes),
        quorum=quorum,
        num_rounds=3,
        config=config or {},
        **spec,
    )
    return Kept(mandate=order, plan_source=source, began_at=1.0)


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (kept(), None),
        (kept(nodes=(), quorum=99), None),
        (kept(is_shipped=True, source="class Plan: ..."), None),
        (kept(quorum=3), "the quorum is 3, and 2 nodes are named"),
        (kept(nodes=("a", "a")), "the quorum is 2, and 1 nodes are named"),
        (kept(is_shipped=True), "a plan of one's own is sent with its source"),
        (kept(source="x"), "a plan of the catalogue without"),
        (kept(experiment="-"), "cannot be called - or all"),
        (kept(experiment="all"), "cannot be called - or all"),
        (kept(nodes=("a", "all")), "cannot be called - or all"),
        (kept(update_encoding="top-k", model_encoding="fp16"), None),
        (kept(update_encoding="zip"), "updates cannot travel as zip; known are exact, bf16"),
        (kept(model_encoding="int8"), "models cannot travel as int8; known are exact, bf16"),
    ],
)
def test_a_fault_of_an_experiment_is_said_in_words(
    tmp_path: Path, one: Kept, fault: str | None
) -> None:
    """Each row: an experiment, and what is wrong with it."""
    save_parameters({"w": np.ones(2)}, tmp_path / "initial")
    found = answers.find_fault(one, stored(tmp_path / "initial"))
    assert found is None if fault is None else fault in (found or "")


def test_initial_parameters_that_cannot_be_read_are_a_fault(tmp_path: Path) -> None:
    """Said within what a rejection holds, however long the names in the file are."""
    (tmp_path / "initial").write_bytes(b"no parameters")
    fault = answers.find_fault(kept(), stored(tmp_path / "initial"))
    assert fault is not None
    assert fault.startswith("the initial parameters cannot be read: ")
    header = json.dumps({"w" * 5_000: {"dtype": "C64", "shape": [], "data_offsets": [0, 8]}})
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(8)
    (tmp_path / "initial").write_bytes(content)
    fault = answers.find_fault(kept(), stored(tmp_path / "initial"))
    assert Rejection(reason=fault or "").reason.startswith("the initial parameters")


def a_record(number: int) -> RoundRecord:
    """Return the record of a round of ten nodes."""
    return RoundRecord(
        round=number,
        attempt=0,
        model=Digest("1" * 64),
        outcomes=[
            NodeOutcome(node=f"hospital-{n}", outcome="updated", num_cases=9, duration_s=0.0)
            for n in range(10)
        ],
        train_metrics={"loss": RatioField(numerator=0.0, denominator=0.0)},
        metrics={"loss": RatioField(numerator=0.0, denominator=0.0)},
        bytes_up=0,
        bytes_down=0,
        duration_s=0.0,
    )


def a_report(num_rounds: int, one: Kept | None = None) -> ExperimentReport:
    """Return the report of an experiment with so many closed rounds."""
    one = one or kept()
    state, _ = begin(one.spec, one.initial, now=0.0)
    records = map(a_record, range(num_rounds, 0, -1))
    return answers.make_report(one, state, state.reason(), records)


def test_a_report_says_how_it_stands_with_its_rounds_in_order() -> None:
    """The newest are given first, and stand last."""
    report = a_report(2)
    assert (report.experiment, report.state, report.round) == ("lung", "preparing", 0)
    assert report.reason.startswith("0 of at least 2 nodes take part")
    assert report.records == [a_record(1), a_record(2)]


def test_a_report_of_many_rounds_shows_the_newest_that_a_message_holds() -> None:
    """Thousands of rounds do not fit, and no more are read than do; a hundred do, all of them."""
    assert [one.round for one in a_report(100).records] == list(range(1, 101))
    one = kept()
    state, _ = begin(one.spec, one.initial, now=0.0)
    newest_first = map(a_record, range(5_000, 0, -1))
    short = answers.make_report(one, state, "", newest_first)
    assert 300 < len(short.records) < 5_000
    assert [one.round for one in short.records] == list(range(5_001 - len(short.records), 5_001))
    assert next(newest_first).round == short.records[0].round - 2
    encode(Message(envelope=envelope(short), body=short))


@pytest.mark.parametrize(("num_nodes", "num_records"), [(300, 10), (1_000, 3), (4_500, 0)])
def test_a_report_of_very_many_nodes_is_a_message(num_nodes: int, num_records: int) -> None:
    """Each record has an outcome of every node: of a thousand nodes three rounds are shown."""
    nodes = [NodeId(f"node-{number:04}") for number in range(num_nodes)]
    one = kept()
    state, _ = begin(one.spec, one.initial, now=0.0)
    state = replace(state, asked=frozenset(nodes), members=frozenset(nodes))
    outcomes = [
        NodeOutcome(node=node, outcome="updated", num_cases=123, duration_s=1 / 3) for node in nodes
    ]
    records = (a_record(number).model_copy(update={"outcomes": outcomes}) for number in range(10))
    report = answers.make_report(one, state, "", records)
    assert (len(report.nodes), len(report.records)) == (num_nodes, num_records)
    encode(Message(envelope=envelope(report), body=report))


def late(number: int) -> LateUpdate:
    """Return an update that came too late for a round."""
    return LateUpdate(
        node="chu-lyon", round=number, attempt=0, num_cases=1, update=Digest("2" * 64)
    )


def test_a_summary_has_all_that_came_late_a_report_the_newest_and_a_list_none() -> None:
    """The summary is for the experiment's folder, the others are messages."""
    one = kept()
    state, _ = begin(one.spec, one.initial, now=0.0)
    state = replace(state, late=tuple(map(late, range(1, 1_001))))
    summary = answers.make_summary(one, state, "")
    assert (len(summary.late), summary.records) == (1_000, [])
    assert answers.make_report(one, state, "", []).late == [late(n) for n in range(901, 1_001)]
    assert answers.make_list([summary], num_running=0).reports[0].late == []


def largest() -> Kept:
    """Return an experiment with as long a spec as may be, most of it the shortest floats."""
    one = kept(config={f"k{n}": [0.5] * 1_000 for n in range(32)})
    size = len(one.spec.model_dump_json())
    assert MAX_SPEC_BYTES * 0.9 < size <= MAX_SPEC_BYTES
    return one


def test_the_largest_spec_leaves_room_for_a_long_report() -> None:
    """Every report repeats the spec."""
    short = a_report(5_000, largest())
    assert len(short.records) > 100
    encode(Message(envelope=envelope(short), body=short))


def test_the_largest_specs_are_listed_as_far_as_they_fit() -> None:
    """At least one of them."""
    many = answers.make_list([a_report(0, largest())] * 20, num_running=0)
    assert len(many.reports) >= 2
    encode(Message(envelope=envelope(many), body=many))


def test_a_list_shows_the_newest_experiments_that_fit() -> None:
    """However many there are."""
    numbered = [a_report(0).model_copy(update={"round": n}) for n in range(3_000)]
    many = answers.make_list(reversed(numbered), num_running=0)
    assert 300 < len(many.reports) < 3_000
    assert many.reports[-1].round == 2_999
    encode(Message(envelope=envelope(many), body=many))
