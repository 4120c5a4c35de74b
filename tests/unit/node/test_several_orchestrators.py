"""A node between several orchestrators: each leads its own experiments and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedmq.learning.trainer_protocol import JobKind
from fedmq.messages.codec import decode
from fedmq.messages.envelope import Place
from fedmq.messages.notices import ExperimentOver
from fedmq.messages.registry import Body
from fedmq.messages.replies import PrepareReply, RefusalCode, TrainReply
from fedmq.messages.requests import CancelRequest, PrepareRequest, TrainRequest
from fedmq.node.patience import MAX_AWAITING
from fedmq.simulation.plain_wire import PlainWire
from fedmq.transport.routes import to_node
from fedmq.types import ORCHESTRATOR
from tests.support.clock import FakeClock
from tests.support.mandates import mandate
from tests.unit.node.test_mandates import Signed, agreed, asks_for_much
from tests.unit.node.test_service import refusal
from tests.unit.node.world import DATASET, LIVER, LUNG, LYON, SOURCE, TINY, Orchestrator, World

SECOND = "second"
SAID: dict[str, Any] = {
    "dataset": DATASET,
    "config": {"mood": "learn"},
    "validation_share": 0.4,
    "num_rounds": 3,
}
"""Of the order of another experiment."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a hospital in a federation with two orchestrators."""
    made = World(tmp_path, others=[SECOND])
    yield made
    made.close()


def reasons(world: World) -> list[str]:
    """Return why messages were turned away."""
    journal = world.service._records.journal
    return [str(row[0]) for row in journal.rows("SELECT reason FROM rejected ORDER BY rowid")]


def unsent(world: World) -> list[Body]:
    """Return what waits in the node's outbox."""
    rows = world.service._records.journal.rows("SELECT encoded FROM outbox")
    return [decode(encoded).body for (encoded,) in rows if isinstance(encoded, bytes)]


def asks(world: World, by: Orchestrator, orchestrator: str, experiment: str = LIVER) -> None:
    """Let an orchestrator ask whether the node takes part in what one of them is to lead."""
    order = mandate(TINY, experiment=experiment, orchestrator=orchestrator, **SAID)
    request = PrepareRequest(mandate=order, plan_source=SOURCE)
    by.ask(request, f"{experiment}.prepare.by.{by.courier.me}", Place(experiment=experiment))
    world.run()


def test_each_is_answered_what_it_asked(world: World) -> None:
    """Two experiments of two orchestrators, side by side in one hospital."""
    (second,) = world.others
    world.agree()
    asks(world, second, SECOND)
    world.done()
    world.train()
    world.done()
    assert [type(answer) for answer in second.answers] == [PrepareReply]
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    assert {one.envelope.experiment for one in second.accepted} == {LIVER}
    assert {one.envelope.experiment for one in world.orchestrator.accepted} == {LUNG}
    assert reasons(world) == []


def test_what_was_ordered_of_one_another_can_neither_ask_for_nor_end(world: World) -> None:
    """The researcher's order names who leads; what has no order is taken of that one alone."""
    (second,) = world.others
    asks(world, second, "orchestrator", experiment=LIVER)
    assert second.answers == [refusal(RefusalCode.NOT_MANDATED)]
    world.agree()
    world.train()
    over = ExperimentOver(state="stopped", reason="")
    second.ask(CancelRequest(before_attempt=9), "cancel", Place(experiment=LUNG))
    second.ask(over, "over", Place(experiment=LUNG))
    world.run(seconds=2)
    assert reasons(world) == ["led_by_another"] * 2
    assert (world.worker.num_cancelled, world.worker.ended_experiments) == (0, [])
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    world.orchestrator.ask(over, "over", Place(experiment=LUNG))
    world.run()
    assert world.worker.ended_experiments == [LUNG]


def test_who_is_first_with_an_end_or_a_cancellation_ends_nothing(world: World) -> None:
    """Before anything was ordered of anybody nobody leads, and no word about it counts."""
    (second,) = world.others
    second.ask(CancelRequest(before_attempt=9), "cancel", Place(experiment=LUNG))
    second.ask(ExperimentOver(state="stopped", reason=""), "over", Place(experiment=LUNG))
    world.run(seconds=2)
    assert world.worker.ended_experiments == []
    world.agree()
    world.train()
    assert world.job.kind is JobKind.TRAIN
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_an_update_is_for_who_leads_its_experiment(world: World) -> None:
    """Another one that knows its digest gets nothing."""
    (second,) = world.others
    world.agree()
    world.train()
    world.orchestrator.transport.disconnect()  # the update waits for its receipt
    world.done()
    (reply,) = [body for body in unsent(world) if isinstance(body, TrainReply)]
    second.courier.fetch(reply.update, to_node(LYON), LUNG)
    world.run(seconds=5)
    assert not second.courier.spool.has(reply.update.digest)
    assert "not_for_sender" in reasons(world)
    world.orchestrator.transport.connect()
    world.run(seconds=5)
    assert world.orchestrator.courier.spool.has(reply.update.digest)


def test_the_end_of_one_experiment_takes_its_model_from_no_other(world: World) -> None:
    """Both begin with the same one, which neither has yet; the other's comes from who leads it."""
    (second,) = world.others
    world.agree()
    asks(world, second, SECOND)
    world.done()
    model = second.make_model({"w": np.zeros(3, np.float32)})
    assert model == world.model
    world.orchestrator.courier.spool.remove(model.digest)
    world.train(is_pushed=False)
    order = mandate(TINY, experiment=LIVER, orchestrator=SECOND, initial=model, **SAID)
    request = TrainRequest(mandate=order, parameters=model)
    second.ask(request, f"{LIVER}.1.train", Place(experiment=LIVER, round=1))
    world.run()
    assert JobKind.TRAIN not in [job.kind for job in world.worker.jobs]
    world.over()
    world.run(seconds=5)
    assert (world.job.kind, world.job.round) == (JobKind.TRAIN, 1)
    world.done()
    assert isinstance(second.answers[-1], TrainReply)


def test_orders_expire_by_the_time_of_who_gave_them(world: World) -> None:
    """Of two orchestrators one may have a clock that is wrong by hours."""
    (second,) = world.others
    world.agree()
    ahead_s = 7200.0
    second.courier._speaker._clock = FakeClock(lambda: world.now + ahead_s)
    asks(world, second, SECOND)
    world.done()
    world.train(expires_at=world.now + 100)
    assert world.job.kind is JobKind.TRAIN
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_one_that_is_away_holds_up_no_work_of_the_others(world: World) -> None:
    """The node waits for its word for five seconds after a break, and never again."""
    (second,) = world.others
    second.is_mute = True
    world.agree()
    world.die()
    world.live()
    world.run()
    world.worker.jobs.clear()
    world.train()
    assert world.worker.jobs == []
    world.run(seconds=6)
    assert world.job.kind is JobKind.TRAIN
    world.done()
    world.train(2)
    assert world.job.round == 2


def test_one_that_speaks_and_never_answers_holds_up_the_others_once(world: World) -> None:
    """It is asked once more on each connection, however much it says."""
    (second,) = world.others
    world.agree()
    second.is_mute = True
    world.die()
    world.live()
    world.run(seconds=6)
    asks(world, second, SECOND)
    world.run(seconds=6)
    world.done()
    for number in (1, 2, 3):
        asks(world, second, "orchestrator", experiment=f"other-{number}")
        world.train(number)
        assert world.job.round == number
        world.done()


# What another orchestrator chooses: the ids of its messages, and what it asks without an order.


def test_another_ones_message_ids_hold_up_no_answer(world: World) -> None:
    """Senders choose the ids of their requests: two of one id are two, and so are their answers."""
    (second,) = world.others
    order = mandate(TINY, experiment=LUNG, dataset=DATASET, orchestrator="orchestrator")
    forged = PrepareRequest(mandate=order, plan_source=SOURCE)
    for asked in ("prepare", "1.0.train"):
        second.ask(forged, f"{LUNG}.{asked}.{LYON}", Place(experiment=LUNG))
    while world.rows("outbox") < 2:
        world.broker.step()
    second.transport.disconnect()  # it gives no receipts: the answers wait at the node
    world.agree()
    world.train()
    world.done()
    assert [type(one) for one in world.orchestrator.answers[-2:]] == [PrepareReply, TrainReply]
    second.transport.connect()
    world.run(seconds=5)
    assert second.answers == [refusal(RefusalCode.NOT_MANDATED)] * 2


@pytest.fixture
def signed(tmp_path: Path) -> Iterator[Signed]:
    """Return a hospital with keys, to which two orchestrators speak; the second is ahead of it."""
    made = Signed(tmp_path, others=[SECOND])
    made.centres[SECOND].roster = made.newer
    yield made
    made.close()


def squats(world: Signed, number: int = 1) -> None:
    """The second orchestrator asks for a round of lung, by an order that may turn out to be one."""
    (second,) = world.others
    order = world.order("bob").model_copy(update={"orchestrator": SECOND})
    request = TrainRequest(mandate=world.sign(order), parameters=world.model)
    second.ask(request, f"{LUNG}.{number}.train.squat", Place(experiment=LUNG, round=number))
    world.run()
    assert second.answers[-1] == refusal(RefusalCode.ROSTER_AWAITED, "train.request")


def test_what_nobody_is_known_to_have_ordered_takes_nobodys_place(signed: Signed) -> None:
    """It waits beside the order of the round, and no longer once somebody's order is known."""
    (second,) = signed.others
    squats(signed)
    squats(signed, 2)
    given = agreed(signed)
    assert signed.rows("tasks") == 0
    signed.trains(given, signed.model)
    assert isinstance(signed.orchestrator.answers[-1], TrainReply)
    signed.wire.roster = signed.newer
    signed.run(seconds=3)
    assert signed.job.job_id.startswith("orchestrator:")
    assert len(second.answers) == 2
    second.ask(
        TrainRequest(mandate=given, parameters=signed.model),
        "late",
        Place(experiment=LUNG, round=2),
    )
    signed.run(seconds=2)
    assert reasons(signed) == ["led_by_another"]


def test_one_that_asks_for_much_takes_nobody_elses_room(signed: Signed) -> None:
    """So many requests of each orchestrator may wait for a roster."""
    (second,) = signed.others
    for number in range(MAX_AWAITING + 1):
        name = f"other-{number}"
        order = signed.order("bob").model_copy(update={"experiment": name, "orchestrator": SECOND})
        request = PrepareRequest(mandate=signed.sign(order), plan_source=SOURCE)
        second.ask(request, f"{name}.prepare", Place(experiment=name))
    signed.run()
    assert signed.rows("tasks") == MAX_AWAITING
    asks_for_much(signed, MAX_AWAITING)
    assert signed.rows("tasks") == 2 * MAX_AWAITING


def test_one_that_comes_into_the_roster_is_greeted_at_once(tmp_path: Path) -> None:
    """The line holds; without a greeting its orders would expire by the node's own clock."""
    known = [ORCHESTRATOR]
    world = World(tmp_path, others=[SECOND], wires={LYON: PlainWire(known)})
    world.run(seconds=2)
    assert not world.service._greetings.is_welcome(SECOND)
    known.append(SECOND)
    world.run(seconds=2)
    assert world.service._greetings.is_welcome(SECOND)
    world.close()
