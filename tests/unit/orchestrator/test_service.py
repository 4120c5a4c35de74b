"""The orchestrator on the memory broker: whole experiments, whatever members do and say."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from fedmq.messages.codec import Message, decode, encode
from fedmq.messages.envelope import Place
from fedmq.messages.fields import RatioField
from fedmq.messages.mandates import Order
from fedmq.messages.notices import ExperimentOver, Overview
from fedmq.messages.payloads import Chunk
from fedmq.messages.replies import Failure, FailureCode, PrepareReply, TrainReply
from fedmq.messages.requests import CancelRequest, TrainRequest
from fedmq.messages.submissions import (
    Acceptance,
    Query,
    QueryKind,
    Rejection,
    Submission,
)
from fedmq.orchestrator.leader import LOOK_S
from fedmq.parameters import parameters_bytes
from fedmq.transport import topology
from fedmq.transport.declarations import Binding, Queue
from fedmq.transport.ports import Properties, Publication
from fedmq.transport.routes import from_node
from fedmq.types import ORCHESTRATOR, ExperimentId
from tests.support.mandates import mandated
from tests.unit.orchestrator.arithmetic import (
    BASEL,
    CASES,
    LUNG,
    LYON,
    NODES,
    PARIS,
    Arrays,
    initial,
    make_spec,
    models_by_hand,
    update_of,
)
from tests.unit.orchestrator.federation import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def test_the_models_of_the_last_rounds_stay(world: World) -> None:
    """Ten of them by default; the records of all rounds stay, and so after a crash."""
    world.ada.submit(make_spec(rounds=12, evaluate=False))
    world.run_until_over(LUNG)
    models = {f"round-{number:04d}.safetensors" for number in range(3, 13)}
    for _ in range(2):
        assert {name for name in world.kept() if name.startswith("round-")} == models
        world.die()
        world.live()


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
    world.require_nothing_left(LUNG)


def test_the_model_goes_ahead_of_the_requests_that_need_it(world: World) -> None:
    """Behind a thousand requests it would come so late that those who have theirs ask for it."""
    world.ada.submit(make_spec(evaluate=False))
    world.run_until_over(LUNG)
    sent = [kind for kind in world.transport.kinds if kind in {Chunk.TYPE, TrainRequest.TYPE}]
    assert sent == [Chunk.TYPE, *[TrainRequest.TYPE] * len(NODES)] * 2


def test_nobody_submits_what_another_ordered_or_under_another_id(world: World) -> None:
    """Nodes would refuse it; nothing of the upload stays."""
    world.ada.submit(make_spec(), LUNG)
    world.run_until_over(LUNG)
    assert world.service is not None
    (lead,) = list(world.service._leader)
    other = ExperimentId("other")
    for who, experiment in ((world.bob, LUNG), (world.ada, other), (world.bob, other)):
        manifest = who.make_payload(parameters_bytes(initial()))
        assert manifest == lead.kept.initial
        message_id = f"{experiment}.stolen.{who.researcher}"
        place = Place(experiment=experiment)
        who.post(Submission(mandate=lead.kept.mandate), message_id, place)
        world.run()
        answer = who.answers[message_id]
        assert isinstance(answer, Rejection)
        assert "not signed by who submits it" in answer.reason
    assert [one.kept.experiment for one in world.service._leader] == [LUNG]
    world.require_nothing_left(LUNG)


def test_an_order_of_another_orchestrator_is_not_led(world: World) -> None:
    """Nodes would refuse whatever it asks."""
    order = Order(
        experiment=LUNG,
        researcher=world.ada.researcher,
        orchestrator="another",
        spec=make_spec(),
        initial=world.ada.make_payload(parameters_bytes(initial())),
    )
    world.ada.post(Submission(mandate=mandated(order)), "stray", Place(experiment=LUNG))
    world.run()
    answer = world.ada.answers["stray"]
    assert isinstance(answer, Rejection)
    assert "or for another id or orchestrator" in answer.reason
    assert world.service is not None
    assert list(world.service._leader) == []
    world.require_nothing_left(LUNG)


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
        # Three updates up, the researcher's upload not among them; one model down, for all
        # nodes at once, in round 1 the initial one too.
        ups, downs = 3, 2 if record.round == 1 else 1
        assert ups * size < record.bytes_up < ups * (size + 500)
        assert downs * size < record.bytes_down < downs * (size + 500)


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
    world.require_nothing_left(one, two, other)


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
    world.require_nothing_left(LUNG)


def in_eight_bits(how: str, update: Arrays) -> bytes:
    """Return an update by hand as int8 declares it: arrays of fewer numbers than a scale is for."""
    if how == "exact":
        return parameters_bytes(update)
    parts: Arrays = {}
    for name, array in update.items():
        scale = np.abs(array.astype("<f8")).max() / 127
        wide = "<f8" if name == "b" else "<f4"
        parts[f"{name}/values"] = np.rint(array / scale).astype("i1")
        parts[f"{name}/scales"] = np.array([scale], wide)
    scales = {
        "nan_scale": [np.nan],
        "inf_scale": [np.inf],
        "negative_scale": [-0.5],
        "no_scale": [],
    }
    if how in scales:
        parts["half/scales"] = np.array(scales[how], "<f4")
    return parameters_bytes(parts)


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("sound", "updated"),
        ("nan_scale", "update_not_finite"),
        ("inf_scale", "update_not_finite"),
        ("negative_scale", "update_scale_negative"),
        ("no_scale", "update_misshapen"),
        ("exact", "update_misshapen"),
    ],
)
def test_an_update_that_is_not_what_its_encoding_declares_is_refused_by_name(
    world: World, how: str, outcome: str
) -> None:
    """Before a number of it is folded; the round closes with the others."""
    for node in NODES:
        world.nodes[node].encode = in_eight_bits
    world.nodes[PARIS].spoils = {1: how}
    world.ada.submit(make_spec(quorum=2, update_encoding="int8"))
    world.run_until_over(LUNG)
    assert world.outcomes(1) == {LYON: "updated", BASEL: "updated", PARIS: outcome}
    assert world.outcomes(2) == dict.fromkeys(NODES, "updated")
    world.require_nothing_left(LUNG)


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
    world.require_nothing_left(LUNG)


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
    world.require_nothing_left(LUNG)


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
    world.require_nothing_left(LUNG)


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
        paris.courier.push(
            paris.make_payload(content), [from_node(PARIS, ORCHESTRATOR, LUNG)], LUNG
        )
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
    world.require_nothing_left(LUNG)


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
    assert report.reason == "2 of at least 3 nodes take part"
    world.nodes[PARIS].transport.connect()
    world.run()
    world.nodes[PARIS].beat()
    world.run_until_over(LUNG)
    assert world.outcomes(1) == dict.fromkeys(NODES, "updated")
    world.require_nothing_left(LUNG)


def test_two_orchestrators_do_not_take_each_other_for_nodes(world: World) -> None:
    """They hear each other's overviews."""
    world.ada.submit(make_spec(nodes=(), quorum=3))
    other = world.bob.courier
    overview = Overview(version="1", nodes=[], experiments=[])
    other.tell(other.write(overview, "overview", "-", Place()), "overview")
    world.run()
    (lead,) = world.leads()
    assert lead.state.asked == set(NODES)


def test_the_overview_tells_nodes_and_experiments(world: World) -> None:
    """What status pages and monitors read."""
    watch(world)
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=6)
    overview = watched(world)[-1].body
    assert isinstance(overview, Overview)
    assert [one.node for one in overview.nodes] == sorted(NODES)
    (shown,) = overview.experiments
    assert (shown.experiment, shown.state, shown.round, shown.num_rounds) == (
        LUNG,
        "training",
        1,
        2,
    )
    assert shown.reason == "2 of 3; waiting for chu-lyon"


def watch(world: World) -> None:
    """Let a queue take every event from here on, as watchers' streams do."""
    events = Binding(exchange=topology.EVENTS, key="#")
    world.broker.declare(Queue(name="watcher", arguments={}, bindings=(events,)))


def watched(world: World) -> list[Message]:
    """Return the overviews that were told since."""
    queue = world.broker.queue("watcher")
    assert queue is not None
    messages = [decode(stored.publication.body) for stored in queue.ready]
    return [one for one in messages if isinstance(one.body, Overview)]


def overviews(world: World) -> list[tuple[float, list[tuple[str, str]]]]:
    """Return when each overview came, with the stage of each experiment in it."""
    return [
        (one.envelope.sent_at, [(each.experiment, each.state) for each in one.body.experiments])
        for one in watched(world)
        if isinstance(one.body, Overview)
    ]


def test_the_overview_follows_an_experiment_closely(world: World) -> None:
    """It tells at the next tick that one began, trains, evaluates, is over; once a second."""
    watch(world)
    world.run(seconds=10)
    before = len(overviews(world))
    for node in world.nodes.values():
        node.spoils = {1: "silent"}
    world.ada.submit(make_spec(quorum=2, rounds=1, deadline_s=50.0))
    world.run(seconds=1)
    assert overviews(world)[-1] == (world.now, [(LUNG, "training")])
    assert len(overviews(world)) == before + 1
    world.ada.post(Query(kind=QueryKind.STOP, experiment=LUNG), "stop", Place())
    world.run(seconds=1)
    assert overviews(world)[-1] == (world.now, [])
    told = len(overviews(world))
    world.run(seconds=5)
    assert len(overviews(world)) == told + 1, "nothing happened: one in five seconds"


def test_the_overview_is_not_told_more_than_once_a_second(world: World) -> None:
    """Experiments that come and go in between are in the next one, or in none."""
    watch(world)
    world.run(seconds=10)
    assert world.service is not None
    world.ada.submit(make_spec())
    while not world.ada.answers:
        world.step()
    world.service.tick()
    told = len(overviews(world))
    for _ in range(20):
        world.now += 0.04
        world.broker.run_until_idle()
        world.service.tick()
    world.broker.run_until_idle()
    assert len(overviews(world)) <= told + 1
    times = [at for at, _ in overviews(world)]
    assert all(later - earlier >= 0.99 for earlier, later in pairwise(times))


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
        (basel, topology.REPLIES, f"{BASEL}.{LUNG}@orchestrator.control", b"garbage"),
        (basel, topology.REPLIES, f"{BASEL}.{LUNG}@orchestrator.bulk", b"garbage"),
        (basel, topology.REPLIES, f"{BASEL}.-@orchestrator.control", b""),
        (
            world.bob,
            topology.SUBMISSIONS,
            "bob.-@orchestrator.control",
            b"\x93\x80\xc4\x00\xc4\x00",
        ),
        (paris, topology.REPLIES, f"{PARIS}.{LUNG}@orchestrator.control", encode(forged)),
        (basel, topology.REPLIES, f"{PARIS}.{LUNG}@orchestrator.control", encode(forged)),
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
    with capture_logs() as logged:
        world.run(seconds=2)
    lines = [line for line in logged if line["event"] == "message_rejected"]
    assert [line["reason"] for line in lines] == world.rejected()
    assert {line["sender"] for line in lines} <= {BASEL, PARIS, "bob"}
    assert sorted(world.rejected()) == sorted(
        ["not_msgpack"] * 3 + ["not_an_envelope"] + ["forged_sender"] * 2 + ["unexpected_type"] * 3
    )
    # What is turned away has no receipt: its sender would send it for ever.
    for member in (basel, world.bob):
        member.courier.drop(LUNG)
    world.run_until_over(LUNG)
    assert world.ada.report().state == "finished_short"
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


def test_its_operator_is_reminded_while_it_serves(world: World) -> None:
    """For as long as it runs; what is due, the reminder knows."""
    world.reminders.clear()
    began_at = world.now
    world.run(seconds=3)
    assert {began_at + 1, began_at + 2, began_at + 3} <= set(world.reminders)
