"""Mandates at a node: what no researcher signed is neither shown nor done."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from fedmq.learning.trainer_protocol import JobKind
from fedmq.messages.envelope import Place
from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import Mandate, Order
from fedmq.messages.registry import Body
from fedmq.messages.replies import PrepareReply, Refusal, RefusalCode, TrainReply
from fedmq.messages.requests import PrepareRequest, TrainRequest
from fedmq.node.patience import MAX_AWAITING, MAX_AWAITING_S
from fedmq.security.mandates import sign_order
from fedmq.security.roster import restrict_roster, without_member
from fedmq.security.wire import SealedWire
from fedmq.transport.routes import to_node
from fedmq.types import ExperimentId, Role
from tests.support.keys import Keys
from tests.support.mandates import mandate
from tests.support.tiny_plan import SOURCE
from tests.unit.node.world import DATASET, LUNG, LYON, OWN, TINY, World

CENTRE: Final = "orchestrator"


class Signed(World):
    """A hospital in a federation with keys, into which a second researcher comes later."""

    def __init__(self, folder: Path, *, others: Sequence[str] = ()) -> None:
        """`others`: orchestrators beside the usual one."""
        roles = {"ana": Role.RESEARCHER, "bob": Role.RESEARCHER, LYON: Role.NODE}
        centres = (CENTRE, *others)
        self.keys = Keys({**roles, **dict.fromkeys(centres, Role.ORCHESTRATOR)})
        self.newer = self.keys.make_roster(2, *self.keys.identities)
        self.keys.roster = self.keys.make_roster(1, "ana", LYON, *centres)
        self.wire = self.keys.wire(LYON)
        self.centres: dict[str, SealedWire] = {name: self.keys.wire(name) for name in centres}
        self.centre = self.centres[CENTRE]
        super().__init__(folder, wires={LYON: self.wire, **self.centres}, others=others)

    def order(self, researcher: str = "ana", **spec: object) -> Order:
        """Return what a researcher orders."""
        said = {"config": {"mood": "learn"}, "dataset": DATASET, "num_rounds": 3}
        made = mandate(TINY, researcher=researcher, initial=self.model, **{**said, **spec})
        return made.order

    def sign(self, order: Order, by: str = "") -> Mandate:
        """Return an order, signed by its researcher or by somebody else."""
        return sign_order(order, self.keys.identities[by or order.researcher], self.keys.roster)

    def asks(self, given: Mandate) -> Body:
        """Return the answer to the question whether the node takes part."""
        request = PrepareRequest(mandate=given, plan_source=SOURCE)
        name = f"{LUNG}.prepare.{len(self.orchestrator.accepted)}"
        self.orchestrator.ask(request, name, Place(experiment=LUNG))
        self.run()
        return self.orchestrator.answers[-1]

    def trains(self, given: Mandate, model: Manifest, number: int = 1) -> Body:
        """Return the answer to an order to train, the update where the work is done."""
        request = TrainRequest(mandate=given, parameters=model)
        name = f"{LUNG}.{number}.train.{len(self.orchestrator.accepted)}"
        self.orchestrator.ask(request, name, Place(experiment=LUNG, round=number))
        self.orchestrator.courier.push(model, [to_node(LYON)], LUNG)
        self.run()
        if self.worker.jobs and self.job.kind is JobKind.TRAIN:
            self.done()
        return self.orchestrator.answers[-1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Signed]:
    """Return a hospital in a federation with keys."""
    made = Signed(tmp_path)
    yield made
    made.close()


def no(code: RefusalCode, kind: str = "prepare.request") -> Refusal:
    """Return a no of the node, or a not yet."""
    return Refusal(code=code, request_type=kind)


def test_the_operator_sees_who_signed_and_has_it_word_for_word(world: Signed) -> None:
    """So that it can be shown later who ordered what."""
    given = world.sign(world.order())
    assert world.asks(given) == no(RefusalCode.PLAN_AWAITS_APPROVAL)
    (asked,) = world.plans.askings(TINY.digest)
    assert (asked.signed_by, asked.researcher, asked.mandate) == ("ana", "ana", given)


@pytest.mark.parametrize(
    "forge",
    [
        lambda world: Mandate(content=world.sign(world.order()).content, signature=""),
        lambda world: Mandate(content=world.sign(world.order()).content, signature="0f" * 64),
        lambda world: world.sign(world.order(), by=CENTRE),
        lambda world: world.sign(world.order(), by="bob"),
        lambda world: world.sign(world.order("bob")),
        lambda world: world.sign(world.order(CENTRE)),
        lambda world: world.sign(world.order(LYON)),
        lambda world: Mandate(
            content=world.order(num_rounds=4).model_dump_json(),
            signature=world.sign(world.order()).signature,
        ),
        lambda world: world.sign(world.order(nodes=["ghu-paris", "ap-marseille"])),
        lambda world: world.sign(world.order().model_copy(update={"experiment": "liver"})),
        lambda world: world.sign(world.order().model_copy(update={"orchestrator": "another"})),
    ],
    ids=[
        "unsigned",
        "a signature of nothing",
        "by the orchestrator",
        "by another researcher",
        "by one who is in no roster",
        "an orchestrator's own",
        "a node's",
        "one round more",
        "for other nodes",
        "of another experiment",
        "of another orchestrator",
    ],
)
def test_what_no_researcher_ordered_is_refused_and_not_even_shown(
    world: Signed, forge: Callable[[Signed], Mandate]
) -> None:
    """An operator would else approve what nobody asked for."""
    assert world.asks(forge(world)) == no(RefusalCode.NOT_MANDATED)
    assert world.plans.all() == ()
    assert world.worker.jobs == []
    assert world.rows("tasks") == 0


def agreed(world: Signed) -> Mandate:
    """Return a mandate for which the node takes part."""
    given = world.sign(world.order())
    world.asks(given)
    world.approve(wishes=OWN)
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)
    return given


def test_orders_hold_for_their_rounds_and_begin_with_their_own_parameters(world: Signed) -> None:
    """The orchestrator chooses the models of later rounds, not the first one."""
    given = agreed(world)
    refused = no(RefusalCode.NOT_MANDATED, "train.request")
    other = world.orchestrator.make_model({"w": np.full(3, 9.0, np.float32)})
    assert world.trains(given, other) == refused
    assert isinstance(world.trains(given, world.model), TrainReply)
    assert isinstance(world.trains(given, other, 3), TrainReply)
    assert world.trains(given, other, 4) == refused


def test_a_researcher_who_came_a_moment_ago_waits_for_the_roster(world: Signed) -> None:
    """The newer roster is on its way: the plan is shown, and judged, when it is here."""
    world.centre.roster = world.newer
    given = world.sign(world.order("bob"))
    assert world.asks(given) == no(RefusalCode.ROSTER_AWAITED)
    assert world.plans.all() == ()
    world.wire.roster = world.newer
    world.run(seconds=2)
    assert world.orchestrator.answers[1:] == [no(RefusalCode.PLAN_AWAITS_APPROVAL)]
    (asked,) = world.plans.askings(TINY.digest)
    assert asked.signed_by == "bob"


def test_who_signed_and_is_in_no_roster_any_more_waits_for_nothing(world: Signed) -> None:
    """Neither what waits goes on, nor what comes."""
    given = world.sign(world.order())
    world.asks(given)
    world.wire.roster = without_member(world.keys.roster, "ana", "left", at=2.0)
    world.run(seconds=2)
    assert world.orchestrator.answers[1:] == [no(RefusalCode.NOT_MANDATED)]
    assert world.rows("tasks") == 0
    assert world.trains(given, world.model) == no(RefusalCode.NOT_MANDATED, "train.request")


def test_who_is_revoked_in_a_roster_that_waits_orders_nothing_more(world: Signed) -> None:
    """The orchestrator has that roster already; for the researcher nothing newer is to come."""
    given = world.sign(world.order())
    world.asks(given)
    held = without_member(world.newer, "ana", "left", at=3.0)
    world.centre.roster = held
    world.wire.roster = restrict_roster(world.keys.roster, held)
    world.run(seconds=2)
    assert world.orchestrator.answers[1:] == [no(RefusalCode.NOT_MANDATED)]
    assert world.trains(given, world.model) == no(RefusalCode.NOT_MANDATED, "train.request")
    assert world.rows("tasks") == 0
    assert world.asks(world.sign(world.order("bob"))) == no(RefusalCode.ROSTER_AWAITED)


def of_nobody(world: Signed, name: str = LUNG) -> Mandate:
    """Return an order without a signature, by a roster that the sender says is newer."""
    world.centre.roster = world.newer
    order = world.order("bob").model_copy(update={"experiment": name})
    return Mandate(content=order.model_dump_json(), signature="")


def asks_for_much(world: Signed, num_requests: int) -> None:
    """So many requests come that wait for a roster, each of an experiment of its own."""
    for number in range(num_requests):
        name = ExperimentId(f"{LUNG}-{number}")
        request = PrepareRequest(mandate=of_nobody(world, name), plan_source=SOURCE)
        world.orchestrator.ask(request, f"{name}.prepare", Place(experiment=name))
    world.run()


def test_no_more_than_so_many_requests_wait_for_a_roster(world: Signed) -> None:
    """Else an orchestrator that invents orders fills the disk of the node."""
    asks_for_much(world, MAX_AWAITING)
    assert world.rows("tasks") == MAX_AWAITING
    assert world.asks(of_nobody(world)) == no(RefusalCode.ROSTER_MISSING)
    assert world.rows("tasks") == MAX_AWAITING


def test_no_request_waits_for_a_roster_for_longer_than_a_day(world: Signed) -> None:
    """By the node's own clock since it came, also when it began another life meanwhile."""
    assert world.asks(of_nobody(world)) == no(RefusalCode.ROSTER_AWAITED)
    world.now += MAX_AWAITING_S - 10
    world.run(seconds=2)
    assert world.rows("tasks") == 1
    world.die()
    world.now += 10
    world.live()
    world.run(seconds=2)
    assert world.orchestrator.answers[1:] == [no(RefusalCode.ROSTER_MISSING)]
    assert world.rows("tasks") == 0


def orders_training(world: Signed, given: Mandate, number: int = 1) -> None:
    """A training is asked for whose model nobody has sent."""
    request = TrainRequest(mandate=given, parameters=world.model)
    name = f"{LUNG}.{number}.train.{len(world.orchestrator.accepted)}"
    world.orchestrator.ask(request, name, Place(experiment=LUNG, round=number))
    world.run(seconds=10)


def has_model(world: Signed) -> bool:
    """Return whether the model, or a part of it, is at the node."""
    return any(world.model.digest in path.name for path in (world.home / "payloads").iterdir())


def test_what_nobody_ordered_makes_the_node_fetch_nothing(world: Signed) -> None:
    """It is judged before its model is here, and refused at once."""
    forged = Mandate(content=world.sign(world.order()).content, signature="0f" * 64)
    orders_training(world, forged)
    assert world.orchestrator.answers == [no(RefusalCode.NOT_MANDATED, "train.request")]
    assert not has_model(world)
    assert [world.rows(name) for name in ("waiting", "tasks", "payloads", "courses")] == [0] * 4


def test_a_model_that_is_too_large_is_refused_before_it_comes(world: Signed) -> None:
    """The limit is one of the disk and the line, not only of the training."""
    given = agreed(world)
    world.policy = replace(world.policy, max_payload_bytes=world.model.size_bytes - 1)
    orders_training(world, given)
    assert world.orchestrator.answers[-1] == no(RefusalCode.PAYLOAD_TOO_LARGE, "train.request")
    assert not has_model(world)


def test_what_nobody_ordered_drops_no_order_of_a_researcher(world: Signed) -> None:
    """A round that nobody ordered is none that the experiment has come to."""
    given = agreed(world)
    orders_training(world, given)
    assert world.job.kind is JobKind.TRAIN
    forged = Mandate(content=given.content, signature="0f" * 64)
    orders_training(world, forged, 3)
    assert world.orchestrator.answers[-1] == no(RefusalCode.NOT_MANDATED, "train.request")
    assert world.worker.num_cancelled == 0
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_work_whose_roster_is_awaited_fetches_its_model_when_the_order_is_known(
    world: Signed,
) -> None:
    """Before that nobody is known to have ordered it; afterwards nothing of it is lost."""
    given = world.sign(world.order("bob"))
    world.centre.roster = world.wire.roster = world.newer
    world.asks(given)
    world.approve(wishes=replace(OWN, researcher="bob"))
    world.run(seconds=2)
    world.done()
    world.wire.roster = world.keys.roster
    orders_training(world, given)
    assert world.orchestrator.answers[-1] == no(RefusalCode.ROSTER_AWAITED, "train.request")
    assert not has_model(world)
    world.die()
    world.live()
    world.run(seconds=10)
    assert not has_model(world)
    world.wire.roster = world.newer
    world.run(seconds=10)
    assert has_model(world)
    assert world.job.kind is JobKind.TRAIN
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
