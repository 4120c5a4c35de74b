"""The orchestrator on the memory broker: whole experiments, whatever members do and say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedmq.messages.codec import decode, encode
from fedmq.messages.envelope import Place
from fedmq.messages.fields import RatioField
from fedmq.messages.notices import ExperimentOver, Overview
from fedmq.messages.replies import Failure, FailureCode, PrepareReply, TrainReply
from fedmq.messages.requests import CancelRequest
from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    Query,
    QueryKind,
    Rejection,
    ReportList,
)
from fedmq.orchestrator.experiment import Stage
from fedmq.orchestrator.leader import LOOK_S
from fedmq.parameters import parameters_bytes
from fedmq.transport import topology
from fedmq.transport.ports import Properties, Publication
from fedmq.transport.routes import from_node, from_researcher
from fedmq.types import ExperimentId
from tests.unit.orchestrator.federation import (
    ADA,
    BASEL,
    CASES,
    LUNG,
    LYON,
    NODES,
    PARIS,
    World,
    initial,
    make_spec,
    models_by_hand,
    update_of,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def require_nothing_left(world: World, *experiments: ExperimentId) -> None:
    """Return if nothing of these experiments is left but their files and newest models."""
    assert world.service is not None
    world.run()
    models = {lead.state.model.digest for lead in world.leads()}
    assert world.payloads() == models
    for experiment in experiments:
        for queue in ("replies", "payloads"):
            assert world.broker.queue(f"experiment.{experiment}.{queue}") is None
    assert world.service._courier.num_unsent == 0
    assert world.service._courier.num_awaited == 0
    for member in (*world.nodes.values(), world.ada, world.bob):
        assert member.courier.num_unsent == 0
    assert world.rejected() == []
    assert world.broker.depth("dead") == 0


@pytest.mark.parametrize("evaluate", [True, False])
def test_two_rounds_give_the_average_by_hand_to_the_last_bit(
    world: World, *, evaluate: bool
) -> None:
    """Three nodes, three types of numbers; numpy alone says what comes out."""
    submission = world.ada.submit(make_spec(evaluate=evaluate))
    world.run_until_over(LUNG)
    for number, model in enumerate(models_by_hand(2)):
        assert world.model(number) == parameters_bytes(model), number
    assert world.ada.answers[submission] == Acceptance(experiment=LUNG)
    report = world.ada.report()
    assert (report.state, report.reason, report.round) == ("finished", "", 2)
    assert world.kept() == {
        "round-0000.safetensors",
        "round-0001.safetensors",
        "round-0002.safetensors",
        "rounds.jsonl",
        "experiment.json",
    }
    for node in world.nodes.values():
        assert node.trainings == {(LUNG, 1): 1, (LUNG, 2): 1}
        assert node.evaluations == ({(LUNG, 1): 1, (LUNG, 2): 1} if evaluate else {})
        assert (node.asked_to_prepare[LUNG], node.over[LUNG]) == (1, 1)
    require_nothing_left(world, LUNG)


def test_a_record_holds_what_nodes_said(world: World) -> None:
    """Sums over the nodes, their cases, the bytes of the round."""
    world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    first, second = world.records()
    assert world.ada.report().records == [first, second]
    assert {one.node: one.num_cases for one in first.outcomes} == CASES
    assert first.train_metrics == {
        "loss": RatioField(numerator=3.0, denominator=float(sum(CASES.values())))
    }
    share = float(np.abs(models_by_hand(2)[1]["b"]).sum())
    assert first.metrics["loss"].numerator == share + share + share
    size = len(parameters_bytes(initial()))
    for record in (first, second):
        # Three updates up, in round 1 the initial parameters too; one model down, for all
        # nodes at once, in round 1 the initial one too.
        ups, downs = (4, 2) if record.round == 1 else (3, 1)
        assert ups * size < record.bytes_up < ups * (size + 500)
        assert downs * size < record.bytes_down < downs * (size + 500)


def test_the_researcher_fetches_the_final_model(world: World) -> None:
    """Nobody else can."""
    world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    report = world.ada.report()
    assert report.model is not None
    for member in (world.ada, world.bob):
        member.courier.fetch(report.model, from_researcher(member.researcher), LUNG)
    world.run()
    fetched = world.ada.load(report.model.digest)
    assert parameters_bytes(fetched) == parameters_bytes(models_by_hand(2)[2])
    assert not world.bob.courier.spool.has(report.model.digest)
    assert world.rejected() == ["not_for_sender"]


def test_several_experiments_run_at_once_also_equal_ones(world: World) -> None:
    """Two equal ones share every digest; the third has other parameters and other nodes."""
    one, two, other = (ExperimentId(name) for name in ("one", "two", "other"))
    world.ada.submit(make_spec(), one)
    world.bob.submit(make_spec(), two)
    world.ada.submit(make_spec(nodes=(LYON, BASEL), quorum=2, rounds=3), other, seed=2)
    world.run_until_over(one, two)
    world.run(seconds=60)
    for experiment in (one, two):
        for number, model in enumerate(models_by_hand(2)):
            assert world.model(number, experiment) == parameters_bytes(model)
    for number, model in enumerate(models_by_hand(3, (LYON, BASEL), seed=2)):
        assert world.model(number, other) == parameters_bytes(model)
    assert world.nodes[PARIS].asked_to_prepare == {one: 1, two: 1}
    require_nothing_left(world, one, two, other)


def test_an_equal_experiment_that_comes_later_needs_no_upload(world: World) -> None:
    """Its parameters are here; its queues must be opened all the same."""
    one, two = ExperimentId("one"), ExperimentId("two")
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec(), one)
    world.run(seconds=5)
    world.nodes[LYON].spoils = {}
    world.ada.submit(make_spec(), two)
    world.ada.hide()
    world.run(seconds=30)
    for number, model in enumerate(models_by_hand(2)):
        assert world.model(number, two) == parameters_bytes(model)
    world.ada.ask(QueryKind.STOP, one)
    world.run_until_over(one, two)
    require_nothing_left(world, one, two)


def test_a_submission_waits_for_its_parameters(world: World) -> None:
    """They are lost or kept back; the orchestrator asks again, also in its next life."""
    submission = world.ada.submit(make_spec())
    world.ada.hide()
    world.run(seconds=20)
    assert submission not in world.ada.answers
    world.die()
    world.live()
    world.run(seconds=20)
    assert submission not in world.ada.answers
    world.ada.show()
    world.run_until_over(LUNG)
    assert world.model(2) == parameters_bytes(models_by_hand(2)[2])
    require_nothing_left(world, LUNG)


def test_a_submission_that_comes_again_is_accepted_again_and_runs_once(world: World) -> None:
    """Under the same id and as another message, while it runs and when it is over."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=5)
    second = world.ada.submit(make_spec(), message_id="again.1")
    world.run(seconds=5)
    assert world.ada.answers[second] == Acceptance(experiment=LUNG)
    world.ada.ask(QueryKind.STOP, LUNG)
    world.run_until_over(LUNG)
    third = world.ada.submit(make_spec(), message_id="again.2")
    world.run(seconds=5)
    assert world.ada.answers[third] == Acceptance(experiment=LUNG)
    assert world.nodes[LYON].asked_to_prepare == {LUNG: 1}
    require_nothing_left(world, LUNG)


def test_an_id_that_is_taken_is_taken(world: World) -> None:
    """By another researcher, or by another experiment of the same one; the first goes on."""
    world.ada.submit(make_spec())
    world.run(seconds=1)
    others = world.bob.submit(make_spec(), seed=5)
    own = world.ada.submit(make_spec(purpose="another"), message_id="again")
    world.run(seconds=5)
    for answer in (world.bob.answers[others], world.ada.answers[own]):
        assert isinstance(answer, Rejection)
        assert "id is taken" in answer.reason
    world.run_until_over(LUNG)
    assert world.ada.report().spec.purpose == "a test"
    assert world.model(2) == parameters_bytes(models_by_hand(2)[2])
    require_nothing_left(world, LUNG)


def test_a_submission_that_cannot_be_led_is_rejected_and_leaves_nothing(world: World) -> None:
    """No payload, no queue; the reason is said, whatever is in the file."""
    header = '{"' + "w" * 5_000 + '": {"dtype": "C64", "shape": [], "data_offsets": [0, 8]}}'
    hostile = len(header).to_bytes(8, "little") + header.encode() + bytes(8)
    cases = {
        ExperimentId("garbage"): world.ada.submit(
            make_spec(), ExperimentId("garbage"), content=b"garbage"
        ),
        ExperimentId("hostile"): world.ada.submit(
            make_spec(), ExperimentId("hostile"), content=hostile
        ),
        ExperimentId("quorum"): world.ada.submit(
            make_spec(quorum=9), ExperimentId("quorum"), seed=9
        ),
        ExperimentId("all"): world.ada.submit(make_spec(), ExperimentId("all"), seed=8),
    }
    world.run(seconds=10)
    for submission in cases.values():
        assert isinstance(world.ada.answers[submission], Rejection), submission
    require_nothing_left(world, *cases)


def test_an_experiment_cannot_stand_outside_all_experiments(world: World) -> None:
    """Its queues would take what nodes say outside any."""
    submission = world.ada.submit(make_spec(), ExperimentId("-"), message_id="submission")
    world.run(seconds=10)
    assert isinstance(world.ada.answers[submission], Rejection)
    assert world.broker.queue("experiment.-.replies") is None
    assert len(world.leads()) == 0


def test_researchers_see_and_stop_their_own_experiments_only(world: World) -> None:
    """Another's is as if it were not."""
    one, two = ExperimentId("one"), ExperimentId("two")
    for node in world.nodes.values():
        node.spoils = {1: "silent"}
    world.ada.submit(make_spec(), one)
    world.bob.submit(make_spec(), two, seed=2)
    world.run(seconds=5)
    listed = world.ada.ask(QueryKind.LIST)
    assert isinstance(listed, ReportList)
    assert [report.experiment for report in listed.reports] == [one]
    listed = world.ada.ask(QueryKind.LIST, two)
    assert isinstance(listed, ReportList)
    assert listed.reports == []
    nothing = Rejection(reason="you have no experiment two")
    assert world.ada.ask(QueryKind.SHOW, two) == nothing
    assert world.ada.ask(QueryKind.STOP, two) == nothing
    assert world.bob.report(two).state == "training"
    assert world.bob.report(two).reason == "0 of 3; waiting for chu-lyon, ghu-paris, umc-basel"


def test_a_query_of_all_experiments_stops_and_shows_none(world: World) -> None:
    """Only a list is of all."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=5)
    assert isinstance(world.ada.ask(QueryKind.STOP, "-"), Rejection)
    assert isinstance(world.ada.ask(QueryKind.SHOW, "-"), Rejection)
    assert world.ada.report().state == "training"


def test_equal_message_ids_of_two_researchers_are_both_answered(world: World) -> None:
    """Also while neither answer has its receipt."""
    for researcher in (world.ada, world.bob):
        researcher.submit(make_spec(), ExperimentId(researcher.name), message_id="submission")
    world.run()
    for researcher in (world.ada, world.bob):
        expected = Acceptance(experiment=researcher.name)
        assert researcher.answers["submission"] == expected


def test_a_stopped_experiment_stops_everywhere(world: World) -> None:
    """Nodes hear it, queues go, the model of the last closed round stays."""
    for node in world.nodes.values():
        node.spoils = {2: "silent"}
    world.ada.submit(make_spec(rounds=5))
    world.run(seconds=5)
    report = world.ada.ask(QueryKind.STOP, LUNG)
    assert isinstance(report, ExperimentReport)
    assert (report.state, report.round) == ("stopped", 2)
    world.run_until_over(LUNG)
    assert world.model(1) == parameters_bytes(models_by_hand(1)[1])
    assert len(world.records()) == 1
    again = world.ada.ask(QueryKind.STOP, LUNG)
    assert isinstance(again, ExperimentReport)
    assert again.state == "stopped"
    require_nothing_left(world, LUNG)


def test_an_answer_outlives_the_experiment(world: World) -> None:
    """The researcher's queue is gone while it runs; the answer comes when it is back."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.bob.submit(make_spec(), ExperimentId("equal"))
    world.run(seconds=5)
    world.nodes[LYON].spoils = {}
    world.broker.delete("researcher.ada.inbox")
    submission = world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    assert submission not in world.ada.answers
    world.ada.transport.disconnect()
    world.broker.declare(topology.researcher_queues(ADA)[0])
    world.ada.transport.connect()
    world.run(seconds=61)
    assert world.ada.answers[submission] == Acceptance(experiment=LUNG)


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("nan", "update_not_finite"),
        ("shape", "update_misshapen"),
        ("garbage", "update_misshapen"),
        ("fails", "out_of_memory"),
        ("refuses", "too_few_cases"),
    ],
)
def test_a_node_without_a_usable_update_fails_alone(world: World, how: str, outcome: str) -> None:
    """The round closes with the others; the next one has all again."""
    world.nodes[PARIS].spoils = {1: how}
    world.ada.submit(make_spec(quorum=2))
    world.run_until_over(LUNG)
    assert world.outcomes(1) == {LYON: "updated", BASEL: "updated", PARIS: outcome}
    assert world.outcomes(2) == dict.fromkeys(NODES, "updated")
    assert world.model(1) == parameters_bytes(models_by_hand(1, (LYON, BASEL))[1])
    require_nothing_left(world, LUNG)


def test_without_a_quorum_the_experiment_fails_with_the_reason(world: World) -> None:
    """At once: nobody waits for what cannot come."""
    for node in (PARIS, BASEL):
        world.nodes[node].spoils = {2: "nan"}
    world.ada.submit(make_spec(quorum=2))
    world.run_until_over(LUNG)
    report = world.ada.report()
    assert report.state == "failed"
    assert report.reason == (
        "round 2, training: 1 of 3; 2 are needed; "
        "ghu-paris failed: update_not_finite; umc-basel failed: update_not_finite"
    )
    assert len(world.records()) == 1
    assert world.kept() >= {"round-0000.safetensors", "round-0001.safetensors"}
    require_nothing_left(world, LUNG)


def test_who_does_not_answer_is_missed_and_who_comes_late_joins(world: World) -> None:
    """One is silent for a round; another was away when all began."""
    paris = world.nodes[PARIS]
    paris.transport.disconnect()
    world.nodes[LYON].spoils = {2: "silent"}
    world.ada.submit(make_spec(rounds=3, quorum=1, deadline_s=50.0))
    world.run(seconds=40)
    assert world.ada.report().reason == "1 of 2; waiting for chu-lyon"
    paris.transport.connect()
    world.run_until_over(LUNG)
    assert world.outcomes(1) == {LYON: "updated", BASEL: "updated"}
    assert world.outcomes(2) == {LYON: "missed", BASEL: "updated"}
    assert world.outcomes(3) == dict.fromkeys(NODES, "updated")
    require_nothing_left(world, LUNG)


def test_an_update_after_its_round_is_receipted_and_removed(world: World) -> None:
    """The node was away at the deadline; the next round runs."""
    paris, lyon = world.nodes[PARIS], world.nodes[LYON]
    world.ada.submit(make_spec(quorum=1, deadline_s=50.0, evaluate=False))
    while not paris.trainings[LUNG, 1]:
        world.step()
    paris.transport.disconnect()
    lyon.spoils = {2: "silent"}
    world.run(seconds=60)
    assert world.ada.report().round == 2
    paris.transport.connect()
    world.run(seconds=5)
    assert paris.courier.num_unsent == 0
    world.run_until_over(LUNG)
    assert world.outcomes(1) == {LYON: "updated", BASEL: "updated", PARIS: "missed"}
    assert world.outcomes(2) == {LYON: "missed", BASEL: "updated", PARIS: "updated"}
    require_nothing_left(world, LUNG)


def test_an_update_whose_payload_never_comes_is_missed(world: World) -> None:
    """Announced, asked for, not sent; afterwards nobody waits for it."""
    world.nodes[PARIS].spoils = {1: "unsent"}
    world.ada.submit(make_spec(quorum=2, rounds=1, deadline_s=50.0))
    world.run_until_over(LUNG)
    assert world.outcomes(1) == {LYON: "updated", BASEL: "updated", PARIS: "missed"}
    assert world.service is not None
    assert world.service._courier.num_awaited == 0
    assert world.payloads() == {lead.state.model.digest for lead in world.leads()}


def test_an_announcement_that_comes_after_the_end_is_not_waited_for(world: World) -> None:
    """It was in hand when the experiment was stopped; its payload can come no more."""
    for node in world.nodes.values():
        node.spoils = {1: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=5)
    paris = world.nodes[PARIS]
    late = TrainReply(update=paris.make_payload(b"late"), num_cases=1, metrics={}, duration_s=0.0)
    world.ada.post(Query(kind=QueryKind.STOP, experiment=LUNG), "stop", Place())
    paris.say(late, "late", Place(experiment=LUNG, round=1), LUNG)
    world.run_until_over(LUNG)
    assert world.service is not None
    assert world.service._courier.num_awaited == 0
    assert world.service._courier.num_unsent == 0
    assert world.service._journal.rows("SELECT message_id FROM waiting") == []


def test_a_chunk_that_comes_again_does_not_stay(world: World) -> None:
    """Its payload was folded and removed before; so with one that nobody announced."""
    world.nodes[LYON].spoils = {2: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=5)
    paris = world.nodes[PARIS]
    for content in (parameters_bytes(update_of(PARIS, initial())), b"never announced"):
        paris.courier.push(paris.make_payload(content), [from_node(PARIS, LUNG)], LUNG)
    world.run(seconds=LOOK_S)
    world.run(seconds=LOOK_S)
    needed = {lead.state.model.digest for lead in world.leads()}
    needed.update(
        one.update.digest for lead in world.leads() for one in lead.state.trained.values()
    )
    assert len(needed) == 3
    assert world.payloads() == needed


def test_a_deadline_is_kept_over_lives(world: World) -> None:
    """It passed while the orchestrator was dead."""
    world.nodes[PARIS].spoils = {1: "silent"}
    world.ada.submit(make_spec(quorum=2, rounds=1, deadline_s=50.0))
    world.run(seconds=20)
    world.die()
    world.run(seconds=60)
    world.live()
    world.run(seconds=1)
    world.run_until_over(LUNG)
    assert world.outcomes(1) == {LYON: "updated", BASEL: "updated", PARIS: "missed"}
    require_nothing_left(world, LUNG)


def test_an_open_experiment_asks_every_node_that_is_heard(world: World) -> None:
    """Those that were there before it came, and those that come later; no orchestrator."""
    world.nodes[PARIS].transport.disconnect()
    world.run(seconds=100)
    for name in (LYON, BASEL):
        world.nodes[name].beat()
    world.run(seconds=10)
    world.ada.submit(make_spec(nodes=(), quorum=3))
    world.run(seconds=10)
    report = world.ada.report()
    assert report.reason == "2 nodes take part, 3 are needed"
    world.nodes[PARIS].transport.connect()
    world.run()
    world.nodes[PARIS].beat()
    world.run_until_over(LUNG)
    assert world.outcomes(1) == dict.fromkeys(NODES, "updated")
    require_nothing_left(world, LUNG)


def test_two_orchestrators_do_not_take_each_other_for_nodes(world: World) -> None:
    """They hear each other's overviews."""
    other = world.nodes[PARIS]
    overview = other.courier.write(
        Overview(version="1", nodes=[], experiments=[]), "overview", "-", Place()
    )
    world.ada.submit(make_spec(nodes=(), quorum=3))
    world.run(seconds=100)
    before = world.nodes[PARIS].asked_to_prepare[LUNG]
    other.courier.tell(overview, "overview")
    world.run()
    assert world.nodes[PARIS].asked_to_prepare[LUNG] == before


def test_the_overview_tells_nodes_and_experiments(world: World) -> None:
    """What status pages and monitors read."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=6)
    queue = world.broker.queue("monitor.events")
    assert queue is not None
    messages = [decode(stored.publication.body) for stored in queue.ready]
    overview = [one.body for one in messages if isinstance(one.body, Overview)][-1]
    assert [one.node for one in overview.nodes] == sorted(NODES)
    (shown,) = overview.experiments
    assert (shown.experiment, shown.state, shown.round, shown.num_rounds) == (
        LUNG,
        "training",
        1,
        2,
    )
    assert shown.reason == "2 of 3; waiting for chu-lyon"


def test_figures_too_large_to_add_make_a_record_without_them(world: World) -> None:
    """A node must not be able to end the orchestrator with what it says."""
    for node in world.nodes.values():
        node.figure = 1e308
    world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    assert [record.metrics for record in world.records()] == [{}, {}]
    assert world.model(2) == parameters_bytes(models_by_hand(2)[2])


def test_garbage_goes_to_the_dead_letters_and_nothing_else_happens(world: World) -> None:
    """Bytes, others' names, answers to nothing, orders to the orchestrator: in every queue."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec(quorum=2, deadline_s=100.0))
    world.run(seconds=5)
    basel, paris = world.nodes[BASEL], world.nodes[PARIS]
    forged = basel.courier.write(
        PrepareReply(num_training_cases=1, num_validation_cases=1), "forged", "-", Place()
    )
    raw = [
        (basel, topology.REPLIES, f"{BASEL}.{LUNG}.control", b"garbage"),
        (basel, topology.REPLIES, f"{BASEL}.{LUNG}.bulk", b"garbage"),
        (basel, topology.REPLIES, f"{BASEL}.-.control", b""),
        (world.bob, topology.SUBMISSIONS, "bob.-.control", b"\x93\x80\xc4\x00\xc4\x00"),
        (paris, topology.REPLIES, f"{PARIS}.{LUNG}.control", encode(forged)),
        (basel, topology.REPLIES, f"{PARIS}.{LUNG}.control", encode(forged)),
    ]
    for ticket, (member, exchange, key, body) in enumerate(raw, start=90_000):
        member.transport.publish(
            Publication(exchange=exchange, routing_key=key, body=body, properties=Properties()),
            ticket,
        )
    place = Place(experiment=LUNG, round=1)
    basel.say(
        Failure(code=FailureCode.INTERNAL, request_type="ping.request", incident="i"),
        "a",
        place,
        LUNG,
    )
    basel.say(CancelRequest(before_attempt=1), "b", place, LUNG)
    world.bob.post(ExperimentOver(state="finished", reason=""), "c", place)
    world.run(seconds=2)
    assert sorted(world.rejected()) == sorted(
        ["not_msgpack"] * 3 + ["not_an_envelope"] + ["forged_sender"] * 2 + ["unexpected_type"] * 3
    )
    # What is turned away has no receipt: its sender would send it for ever.
    for member in (basel, world.bob):
        member.courier.drop(LUNG)
    world.run_until_over(LUNG)
    assert world.ada.report().state == "finished"
    assert world.outcomes(1) == {LYON: "missed", BASEL: "updated", PARIS: "updated"}


def test_replies_that_do_not_fit_change_nothing(world: World) -> None:
    """Of other experiments, rounds, attempts; of nodes that were not asked; twice."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec(nodes=(LYON, BASEL), quorum=1, deadline_s=100.0, rounds=1))
    world.run(seconds=5)
    no = Failure(code=FailureCode.INTERNAL, request_type="train.request", incident="i")
    yes = PrepareReply(num_training_cases=1, num_validation_cases=1)
    before = world.ada.report()
    for number, (node, body, place) in enumerate(
        [
            (LYON, no, Place(experiment="unknown", round=1)),
            (LYON, no, Place(experiment=LUNG, round=2)),
            (LYON, no, Place(experiment=LUNG, round=1, attempt=1)),
            (LYON, no, Place()),
            (BASEL, no, Place(experiment=LUNG, round=1)),
            (PARIS, no, Place(experiment=LUNG, round=1)),
            (PARIS, yes, Place(experiment=LUNG)),
            (LYON, yes, Place(experiment=LUNG)),
        ]
    ):
        world.nodes[node].say(body, f"stray.{number}", place, LUNG)
    world.run(seconds=5)
    assert world.ada.report() == before
    world.run(seconds=100)
    assert world.outcomes(1) == {LYON: "missed", BASEL: "updated"}


def test_an_experiment_of_very_many_rounds_is_still_shown(world: World) -> None:
    """A report that no message holds would never be answered, and a stop undone."""
    world.nodes[LYON].spoils = {2: "silent"}
    world.ada.submit(make_spec(nodes=(LYON,), quorum=1))
    world.run(seconds=2)
    (lead,) = world.leads()
    lead.state = replace(
        lead.state,
        stage=Stage.TRAINING,
        records=tuple(
            record.model_copy(update={"outcomes": record.outcomes * 10, "round": number})
            for number, record in enumerate(lead.state.records[:1] * 5_000, start=1)
        ),
    )
    report = world.ada.ask(QueryKind.STOP, LUNG)
    assert isinstance(report, ExperimentReport)
    assert report.state == "stopped"
    assert report.records[-1].round == 5_000
    assert world.rejected() == []
