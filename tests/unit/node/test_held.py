"""Requests that have to wait at a node: told once each time, answered by themselves, never lost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fedmq.imaging.dictionary.model import Meaning
from fedmq.learning.trainer_protocol import JobKind
from fedmq.messages.fields import DictionaryReference
from fedmq.messages.replies import PrepareReply, Refusal, RefusalCode, TrainReply
from fedmq.node.hours import parse_hours
from fedmq.node.policy import Decision
from fedmq.node.proposals import Wishes
from fedmq.node.records import open_records
from fedmq.node.terms import Limit
from fedmq.transport.home import LocalHome
from tests.support.zones import PARIS
from tests.unit.imaging.dictionary.examples import lung
from tests.unit.node.world import DATASET, LYON, OWN, RELAXED, TINY, Killed, World

OPENS_AT = 3_600.0
"""02:00 on the first day of 1970, in Paris; the world begins at 01:16."""
EVENINGS = replace(RELAXED, zone=PARIS, hours=parse_hours(["thu 02:00-03:00"]))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def no(code: RefusalCode, kind: str = "train.request", *, retry_at: float | None = None) -> Refusal:
    """Return a no of the node, or a not yet."""
    return Refusal(code=code, request_type=kind, retry_at=retry_at)


LATER = no(RefusalCode.OUT_OF_HOURS, retry_at=OPENS_AT)


def test_work_waits_for_its_hour_and_is_answered_then(world: World) -> None:
    """The orchestrator is told when, and need not ask again."""
    world.agree()
    world.policy = EVENINGS
    world.train()
    assert world.orchestrator.answers[2:] == [LATER]
    world.run(seconds=30)
    assert world.orchestrator.answers[2:] == [LATER]
    assert world.job.kind is JobKind.PREPARE
    world.now = OPENS_AT
    world.run(seconds=2)
    assert world.job.kind is JobKind.TRAIN
    world.done()
    told, answered = world.orchestrator.accepted[2:]
    assert isinstance(answered.body, TrainReply)
    assert told.envelope.message_id == f"orchestrator:lung.1.0.train.{LYON}.reply"
    assert answered.envelope.message_id == f"orchestrator:lung.1.0.train.{LYON}.reply.again1"
    world.settle()
    assert world.rows("holds") == 0


def test_a_question_waits_for_its_hour_too(world: World) -> None:
    """Counting reads data."""
    world.prepare()
    world.approve()
    world.policy = EVENINGS
    world.run(seconds=2)
    later = no(RefusalCode.OUT_OF_HOURS, "prepare.request", retry_at=OPENS_AT)
    assert world.orchestrator.answers[1:] == [later]
    assert world.worker.jobs == []
    world.now = OPENS_AT
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)
    ids = [one.envelope.message_id for one in world.orchestrator.accepted]
    assert [one.rpartition(".reply")[2] for one in ids] == ["", ".again1", ".again2"]


def test_other_work_goes_on_past_what_waits(world: World) -> None:
    """What waits is asked about once a second, not at every step."""
    world.agree()
    world.policy = replace(RELAXED, zone=PARIS, max_rounds_per_day=1)
    world.train(1)
    world.done()
    world.train(2)
    wait = no(RefusalCode.ROUNDS_OF_TODAY, retry_at=82_800.0)
    assert world.orchestrator.answers[-1] == wait
    world.prepare("liver")
    assert world.job.kind is JobKind.PREPARE
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)
    world.now = 82_800.0
    world.run(seconds=2)
    assert world.job.kind is JobKind.TRAIN


def test_a_pause_says_no_hour_and_ends_with_the_file(world: World) -> None:
    """What is in hand when it begins is finished."""
    world.agree()
    world.train(1)
    world.policy = replace(RELAXED, is_paused=True)
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    world.train(2)
    assert world.orchestrator.answers[-1] == no(RefusalCode.NODE_PAUSED)
    world.policy = RELAXED
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_what_waits_expires_with_its_round(world: World) -> None:
    """It is said, and the task goes."""
    world.agree()
    world.policy = EVENINGS
    world.train(expires_at=world.now + 20)
    world.run(seconds=30)
    assert world.orchestrator.answers[2:] == [LATER, no(RefusalCode.EXPIRED)]
    world.settle()


def test_newer_work_takes_the_place_of_what_waits(world: World) -> None:
    """The round went on without it."""
    world.agree()
    world.policy = EVENINGS
    world.train(1)
    world.train(2)
    world.policy = RELAXED
    world.run(seconds=2)
    world.done()
    rounds = [one.envelope.round for one in world.orchestrator.accepted[2:]]
    assert rounds == [1, 2, 2]
    assert world.num_trained == 1


def test_the_end_of_an_experiment_ends_the_waiting(world: World) -> None:
    """Nothing stays of it."""
    world.agree()
    world.policy = EVENINGS
    world.train(1)
    world.over()
    assert (world.rows("tasks"), world.rows("holds")) == (0, 0)
    world.now = OPENS_AT
    world.run(seconds=2)
    assert world.num_trained == 0


@pytest.mark.parametrize("calls", range(1, 60, 3))
def test_a_node_that_is_killed_while_work_waits_does_it_in_its_hour(
    tmp_path: Path, calls: int
) -> None:
    """At whatever moment: it is told once, and answered once."""
    world = World(tmp_path)
    world.agree()
    world.policy = EVENINGS
    world.is_answering = True
    world.calls_left = calls
    with pytest.raises(Killed):
        _live_through_the_hour(world)
    world.die()
    world.live()
    world.run(seconds=10)
    assert world.now >= OPENS_AT or world.num_trained == 0
    world.now = max(world.now, OPENS_AT)
    world.settle()
    assert world.num_trained in {1, 2}
    assert [type(one) for one in world.orchestrator.answers[2:]] == [Refusal, TrainReply]
    world.close()


def _live_through_the_hour(world: World) -> None:
    world.train()
    world.run(seconds=3)
    assert world.num_trained == 0
    world.now = OPENS_AT
    world.run(seconds=5)


# The operator.


def test_an_approval_that_is_too_narrow_is_told_and_widened(world: World) -> None:
    """Each word under an id of its own; the operator sees what it waits for."""
    world.prepare()
    narrow = replace(OWN, limits={"mood": Limit(words=("dies",))})
    world.approve(wishes=narrow)
    world.run(seconds=2)
    assert world.orchestrator.answers == [
        no(RefusalCode.PLAN_AWAITS_APPROVAL, "prepare.request"),
        no(RefusalCode.CONFIG_OUT_OF_RANGE, "prepare.request"),
    ]
    assert world.plans.find("tiny").asked.code == "config_out_of_range"
    world.approve()
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)
    assert world.plans.find("tiny").asked.code == ""


def test_a_second_person_is_waited_for(world: World) -> None:
    """The first one twice is one person."""
    world.policy = replace(RELAXED, approvals_needed=2)
    world.prepare()
    for _ in range(2):
        world.approve(person="op-1")
        world.run(seconds=2)
    assert world.worker.jobs == []
    world.approve(person="op-2")
    world.run(seconds=2)
    assert world.job.kind is JobKind.PREPARE


def test_other_packages_need_a_new_approval(world: World) -> None:
    """Also in the middle of an experiment; the old ones back again are approved still."""
    world.agree()
    world.dependencies = {"torch": "2.6"}
    world.train(1)
    assert world.orchestrator.answers[-1] == no(RefusalCode.DEPENDENCIES_CHANGED)
    assert world.num_trained == 0
    world.approve()
    world.run(seconds=2)
    assert world.num_trained == 1
    world.done()
    world.dependencies = {"torch": "2.5"}
    world.train(2)
    assert world.num_trained == 2


def test_an_approval_that_ends_in_the_middle_is_renewed(world: World) -> None:
    """The experiment goes on where it was."""
    world.prepare()
    world.approve(wishes=replace(OWN, until="1970-01-01"))
    world.run(seconds=2)
    world.done()
    world.now += 2 * 86_400.0
    world.train(1)
    assert world.orchestrator.answers[-1] == no(RefusalCode.APPROVAL_EXPIRED)
    world.approve(wishes=replace(OWN, until="1970-01-09"))
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_a_rejection_is_the_last_word_for_what_waits(world: World) -> None:
    """And the next round is refused at once."""
    world.agree()
    world.policy = EVENINGS
    world.train(1)
    world.reject()
    world.run(seconds=2)
    assert world.orchestrator.answers[2:] == [LATER, no(RefusalCode.PLAN_REJECTED)]
    world.train(2)
    assert world.orchestrator.answers[-1] == no(RefusalCode.PLAN_REJECTED)
    assert world.num_trained == 0


def test_rounds_beyond_those_that_were_approved_wait(world: World) -> None:
    """A round that is done again after a kill counts once."""
    world.prepare(num_rounds=1)
    world.approve(wishes=Wishes(researcher="ana", datasets=(DATASET,), max_rounds=1))
    world.run(seconds=2)
    world.done()
    world.train(1)
    world.die()
    world.live()
    world.run(seconds=10)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    world.train(2)
    assert world.orchestrator.answers[-1] == no(RefusalCode.ROUNDS_NOT_APPROVED)


def test_data_of_another_dictionary_wait_until_they_are_read_by_the_asked_one(
    world: World,
) -> None:
    """The operator sees by which; approvals stay what they are."""
    meaning = Meaning(
        dictionary=lung(variables={"x": {"type": "integer", "range": [1, 5]}}, endpoint=None)
    )
    asked = DictionaryReference(name="lung-io", version="1.0", digest=meaning.dictionary.digest)
    world.agree()
    world.prepare("liver", dictionary=asked)
    assert world.orchestrator.answers[-1] == no(RefusalCode.DICTIONARY_DIFFERS, "prepare.request")
    (shown,) = [one for one in world.plans.askings(TINY.digest) if one.experiment == "liver"]
    assert (shown.code, shown.dictionary) == (
        "dictionary_differs",
        f"lung-io 1.0 {meaning.dictionary.digest}",
    )
    assert world.plans.decision(TINY.digest) is Decision.APPROVED
    records = open_records(LocalHome(world.home))
    records.datasets.mean(DATASET, meaning)
    records.close()
    world.run(seconds=3)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)
    assert world.job.meaning == meaning.model_dump_json()
    (shown,) = [one for one in world.plans.askings(TINY.digest) if one.experiment == "liver"]
    assert shown.code == ""
