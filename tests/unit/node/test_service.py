"""The node on the memory broker with a worker that the test answers for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from fedmq.learning.catalogue import plan_digest, plan_source
from fedmq.learning.trainer_protocol import JobKind, Progress
from fedmq.messages.envelope import Place
from fedmq.messages.fields import PlanReference
from fedmq.messages.notices import Activity, Heartbeat, NodeOnline
from fedmq.messages.replies import (
    EvaluateReply,
    Failure,
    FailureCode,
    PingReply,
    PrepareReply,
    Refusal,
    RefusalCode,
    TrainReply,
)
from fedmq.messages.requests import PingRequest
from fedmq.node.audit_facts import EvaluationAnswered, TrainingDone
from fedmq.node.records import open_records
from fedmq.node.service import SWEEP_S
from fedmq.parameters import load_parameters, parameters_bytes
from fedmq.transport import topology
from fedmq.transport.home import LocalHome
from fedmq.transport.routes import to_node
from fedmq.types import ORCHESTRATOR, Digest
from tests.support.bfloat16 import of_bits
from tests.support.clock import FakeClock
from tests.unit.node.world import DATASET, LIVER, LUNG, LYON, RELAXED, TINY, Killed, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def refusal(code: RefusalCode, kind: str = "prepare.request") -> Refusal:
    """Return the answer of who says no."""
    return Refusal(code=code, request_type=kind)


# Taking part.


def test_a_plan_that_nobody_approved_is_refused_and_listed_with_who_asks(world: World) -> None:
    """Nothing runs unapproved; the operator sees the source, the researcher and the purpose."""
    world.prepare()
    assert world.orchestrator.answers == [refusal(RefusalCode.PLAN_AWAITS_APPROVAL)]
    assert world.worker.jobs == []
    record = world.plans.find("tiny")
    assert (record.asked.researcher, record.asked.purpose) == ("ana", "a test")
    assert record.digest == TINY.digest
    assert "class TinyPlan" in world.plans.source(record)


def test_an_approval_answers_the_request_again_under_a_new_id(world: World) -> None:
    """The orchestrator need not ask again, and no receipt of the first answer hides the second."""
    world.agree()
    first, second = world.orchestrator.accepted
    assert second.body == PrepareReply(num_training_cases=4, num_validation_cases=1)
    assert first.envelope.message_id == f"orchestrator:lung.prepare.{LYON}.reply"
    assert second.envelope.message_id == f"orchestrator:lung.prepare.{LYON}.reply.again1"
    assert second.envelope.correlation_id == f"lung.prepare.{LYON}"
    world.run(seconds=5)
    assert len(world.orchestrator.accepted) == 2


def test_cases_are_counted_with_the_split_that_training_would_have(world: World) -> None:
    """The counts of the answer are those of the experiment, not of some usual share."""
    world.prepare()
    world.approve()
    world.run(seconds=2)
    job = world.job
    assert (job.kind, job.split_seed, job.validation_share) == (JobKind.PREPARE, 3, 0.4)


def test_a_rejection_answers_again_too(world: World) -> None:
    """And is final."""
    world.prepare()
    world.reject()
    world.run(seconds=2)
    assert world.orchestrator.answers[1:] == [refusal(RefusalCode.PLAN_REJECTED)]
    assert world.worker.jobs == []


def test_an_approval_while_the_node_is_away_answers_when_it_is_back(world: World) -> None:
    """What waits for the operator is on the disk."""
    world.prepare()
    world.die()
    world.approve()
    world.live()
    world.run(seconds=2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)


def test_a_plan_approved_at_set_up_is_answered_at_once(world: World) -> None:
    """The question of whether the operator agrees is not put twice."""
    world.agree()
    world.prepare("liver")
    world.done()
    assert isinstance(world.orchestrator.answers[-1], PrepareReply)
    assert (
        world.orchestrator.accepted[-1].envelope.message_id
        == f"orchestrator:liver.prepare.{LYON}.reply"
    )


def test_a_source_of_another_digest_is_refused_and_not_listed(world: World) -> None:
    """What the operator would read must be what runs."""
    world.prepare(source="print('something else')")
    assert world.orchestrator.answers == [refusal(RefusalCode.PLAN_DIFFERS)]
    assert world.plans.all() == ()
    assert world.files("plans") == []


def test_a_catalogue_plan_of_another_version_is_refused(world: World) -> None:
    """As is one that is not installed."""
    world.prepare(
        plan=PlanReference(name="clinical-logistic", digest=Digest("ab" * 32), is_shipped=False),
        source=None,
    )
    world.prepare(
        "liver",
        plan=PlanReference(name="no-such", digest=Digest("ab" * 32), is_shipped=False),
        source=None,
    )
    assert world.orchestrator.answers == [
        refusal(RefusalCode.PLAN_DIFFERS),
        refusal(RefusalCode.UNKNOWN_PLAN),
    ]


def test_a_catalogue_plan_can_be_approved_before_anybody_asks(world: World) -> None:
    """At set-up, by name."""
    world.approve("clinical-logistic")
    digest = plan_digest(plan_source("clinical-logistic"))
    plan = PlanReference(name="clinical-logistic", digest=digest, is_shipped=False)
    world.prepare(plan=plan, source=None)
    assert world.job.kind is JobKind.PREPARE
    assert world.job.source_path is None


def test_an_unknown_dataset_is_refused(world: World) -> None:
    """Names are all that sites share of their data."""
    world.prepare(dataset="other")
    assert world.orchestrator.answers == [refusal(RefusalCode.UNKNOWN_DATASET)]


def test_a_table_that_became_a_link_in_a_circle_ends_no_node(world: World) -> None:
    """The trainer is given its path, and says what is wrong."""
    table = world.home.parent / "rows.csv"
    table.write_text("case_id,x\ncase-1,1\n")
    records = open_records(LocalHome(world.home))
    records.datasets.remove(DATASET)
    records.datasets.add(DATASET, table.parent / "cases", table, now=world.now)
    records.close()
    table.unlink()
    table.symlink_to(table.name)
    world.prepare()
    world.approve()
    world.run(seconds=2)
    assert world.job.clinical == str(table)


def test_too_few_usable_cases_are_refused(tmp_path: Path) -> None:
    """By the count of the dataset, and by the count of those that the plan can use."""
    strict = World(tmp_path / "6", policy=replace(RELAXED, min_cases=6))
    strict.prepare()
    assert strict.orchestrator.answers == [refusal(RefusalCode.TOO_FEW_CASES)]
    strict.close()


def test_a_broken_preparation_is_a_failure(world: World) -> None:
    """A bad config is known before any model comes."""
    world.prepare()
    world.approve()
    world.run(seconds=2)
    world.broken(FailureCode.PLAN_ERROR)
    assert world.orchestrator.answers[1:] == [
        Failure(code=FailureCode.PLAN_ERROR, request_type="prepare.request", incident="1ncident")
    ]


# Work.


def test_training_is_answered_with_local_minus_global(world: World) -> None:
    """The update's bytes are exactly those; counts and metrics go with it."""
    world.model = world.orchestrator.make_model({"w": np.array([1.0, 2.0, 4.0], np.float32)})
    world.agree()
    world.train()
    job = world.job
    assert (job.kind, job.seed, job.split_seed, job.validation_share) == (
        JobKind.TRAIN,
        11,
        11,
        0.2,
    )
    assert load_parameters(Path(job.parameters_path or ""))["w"].tolist() == [1.0, 2.0, 4.0]
    world.done(local={"w": np.array([1.5, 2.0, 3.0], np.float32)})
    reply = world.orchestrator.accepted[-1]
    assert isinstance(reply.body, TrainReply)
    assert (reply.envelope.round, reply.envelope.attempt) == (1, 0)
    assert reply.body.num_cases == 4
    assert reply.body.metrics["loss"].numerator == 2.0
    update = world.orchestrator.courier.spool.path(reply.body.update.digest)
    expected = {"w": np.array([0.5, 0.0, -1.0], np.float32)}
    assert update.read_bytes() == parameters_bytes(expected)
    assert world.rows("tasks") == 0
    assert world.files("scratch") == []


def test_a_model_of_bfloat16_is_trained_as_any_other(world: World) -> None:
    """The update has the model's type, and the numbers that its bits stand for were subtracted."""
    one, half, two = 0x3F80, 0x3F00, 0x4000
    world.model = world.orchestrator.make_model({"w": of_bits([one, half])})
    world.agree()
    world.train()
    world.done(local={"w": of_bits([two, one])})
    reply = world.orchestrator.answers[-1]
    assert isinstance(reply, TrainReply)
    update = world.orchestrator.courier.spool.path(reply.update.digest)
    assert update.read_bytes() == parameters_bytes({"w": of_bits([one, half])})


def test_an_update_goes_once_its_receipt_came_and_the_model_stays_for_the_next_leg(
    world: World,
) -> None:
    """The evaluated model is trained from next, and not sent again."""
    world.agree()
    world.train()
    world.done()
    world.run(seconds=2)
    assert world.files("payloads") == [world.model.digest]


def test_an_evaluation_is_answered_with_metrics(world: World) -> None:
    """Nothing else leaves."""
    world.agree()
    world.evaluate()
    world.done(num_cases=1)
    reply = world.orchestrator.answers[-1]
    assert isinstance(reply, EvaluateReply)
    assert (reply.num_cases, reply.metrics["loss"].denominator) == (1, 4.0)


def test_a_model_that_was_not_pushed_is_asked_for(world: World) -> None:
    """As by a node that was away."""
    world.agree()
    world.train(is_pushed=False)
    assert len(world.worker.jobs) == 1
    world.run(seconds=5)
    assert world.job.kind is JobKind.TRAIN


def test_work_is_refused_without_approval(world: World) -> None:
    """An orchestrator that does not ask first gets nothing."""
    world.train()
    assert world.orchestrator.answers == [refusal(RefusalCode.UNKNOWN_PLAN, "train.request")]
    world.prepare()
    world.train(2)
    assert world.orchestrator.answers[-1] == refusal(
        RefusalCode.PLAN_AWAITS_APPROVAL, "train.request"
    )
    assert world.worker.jobs == []


def test_expired_work_is_not_run(world: World) -> None:
    """Neither what comes late nor what waited too long behind other work."""
    world.agree()
    world.train(expires_at=world.now - 1)
    assert world.orchestrator.answers[-1] == refusal(RefusalCode.EXPIRED, "train.request")
    world.agree("liver")
    world.train(1, experiment=LIVER)
    world.train(2, expires_at=world.now + 10)
    world.run(seconds=11)
    world.done()
    assert world.orchestrator.answers[-1] == refusal(RefusalCode.EXPIRED, "train.request")
    assert world.num_trained == 1


def test_an_order_does_not_expire_by_the_nodes_own_clock_though_its_greeting_was_lost(
    world: World,
) -> None:
    """It asks again when the orchestrator is heard: then orders expire by that one's time."""
    world.agree()
    world.die()
    world.orchestrator.is_mute = True
    world.live()
    world.run(seconds=10)
    world.orchestrator.is_mute = False
    behind_s = 500.0
    world.orchestrator.courier._speaker._clock = FakeClock(lambda: world.now - behind_s)
    num_answers = len(world.orchestrator.answers)
    world.train(expires_at=world.now - behind_s + 100)
    world.run(seconds=1)
    assert world.orchestrator.answers[num_answers:] == []
    assert world.job.kind is JobKind.TRAIN
    world.train(2, expires_at=world.now - behind_s - 1)
    world.run(seconds=1)
    assert world.orchestrator.answers[-1] == refusal(RefusalCode.EXPIRED, "train.request")


def test_work_of_an_older_round_or_attempt_is_stale(world: World) -> None:
    """No stale order is ever run."""
    world.agree()
    world.train(2, attempt=1)
    world.train(1, attempt=1)
    world.train(2, attempt=0)
    stale = refusal(RefusalCode.STALE, "train.request")
    assert world.orchestrator.answers[-2:] == [stale, stale]
    assert world.num_trained == 1


def test_newer_work_ends_the_older(world: World) -> None:
    """The round went on without this node: what it has in hand is of no use."""
    world.agree()
    world.train(1)
    first = world.job
    world.train(2)
    assert world.worker.num_cancelled == 1
    assert world.job.round == 2
    world.done(first)
    assert not isinstance(world.orchestrator.answers[-1], TrainReply)
    world.done()
    assert world.orchestrator.accepted[-1].envelope.round == 2


def test_experiments_wait_for_each_other_and_questions_go_first(world: World) -> None:
    """One job at a time; whether a node takes part is not left open behind hours of training."""
    world.agree()
    world.train()
    training = world.job
    world.evaluate(experiment=LIVER)
    world.prepare("liver")
    assert world.job == training
    world.done()
    assert world.job.kind is JobKind.PREPARE
    world.done()
    assert world.job.kind is JobKind.EVALUATE


def test_cancelled_work_is_dropped_while_it_runs_and_does_not_come_back(world: World) -> None:
    """A cancellation names attempts: newer ones run, another experiment is untouched."""
    world.agree()
    world.agree("liver")
    world.train()
    world.train(experiment=LIVER)
    world.cancel(before_attempt=1)
    assert world.worker.num_cancelled == 1
    assert world.worker.keys[-1].experiment == LIVER
    world.done()
    world.train(1, attempt=1)
    world.done()
    assert [one.envelope.experiment for one in world.orchestrator.accepted[-2:]] == [LIVER, LUNG]
    world.cancel(before_attempt=1, experiment=LIVER)
    world.run(seconds=2)
    assert world.rows("tasks") == 0


def test_a_rejection_ends_the_work_in_hand(world: World) -> None:
    """The operator's word counts from now on."""
    world.agree()
    world.train()
    world.reject()
    world.run(seconds=2)
    assert world.worker.num_cancelled == 1
    assert world.orchestrator.answers[-1] == refusal(RefusalCode.PLAN_REJECTED, "train.request")


def test_a_dataset_that_was_removed_is_trained_on_no_more(world: World) -> None:
    """Also where the work was accepted before."""
    world.agree()
    world.agree("liver")
    world.train()
    world.train(experiment=LIVER)
    world.service._records.datasets.remove("petct")
    world.done()
    assert world.orchestrator.answers[-1] == refusal(RefusalCode.UNKNOWN_DATASET, "train.request")


def test_a_cancellation_drops_the_answers_on_their_way_but_no_question(world: World) -> None:
    """Nobody waits for an update of an attempt that was cancelled."""
    world.agree()
    world.broker.delete(topology.experiment_replies(LUNG, ORCHESTRATOR))
    world.train()
    world.done()
    world.approve()
    world.prepare(LIVER)
    assert world.job.kind is JobKind.PREPARE
    world.train(experiment=LIVER)
    world.run(seconds=1)
    assert (world.rows("outbox"), world.rows("payloads")) == (1, 3)
    world.cancel(before_attempt=1)
    world.cancel(before_attempt=1, experiment=LIVER)
    assert (world.rows("outbox"), world.rows("payloads"), world.files("payloads")) == (0, 0, [])
    world.done()
    reply = world.orchestrator.accepted[-1]
    assert isinstance(reply.body, PrepareReply)
    assert reply.envelope.experiment == LIVER


def test_a_model_goes_when_a_newer_round_begins_with_another(world: World) -> None:
    """A node keeps one model of an experiment."""
    world.agree()
    world.train(1)
    world.done()
    world.model = world.orchestrator.make_model({"w": np.ones(3, np.float32)})
    world.train(2)
    world.done()
    world.run(seconds=2)
    assert world.files("payloads") == [world.model.digest]


def test_word_of_a_job_that_is_not_in_hand_changes_nothing(world: World) -> None:
    """Even of one that waits."""
    world.agree()
    world.train()
    training = world.job
    world.train(experiment=LIVER)
    world.say_done(replace(training, job_id=f"liver.1.0.train.{LYON}"))
    assert world.rows("tasks") == 2
    assert not any(isinstance(one, TrainReply | Failure) for one in world.orchestrator.answers)


# What breaks.


@pytest.mark.parametrize(
    ("local", "code"),
    [
        ({"w": np.array([1, np.nan, 1], np.float32)}, FailureCode.UPDATE_NOT_FINITE),
        ({"w": np.array([1, np.inf, 1], np.float32)}, FailureCode.UPDATE_NOT_FINITE),
        ({"w": np.zeros(4, np.float32)}, FailureCode.UPDATE_MISSHAPEN),
        ({"v": np.zeros(3, np.float32)}, FailureCode.UPDATE_MISSHAPEN),
        ({"w": np.zeros(3, np.float64)}, FailureCode.UPDATE_MISSHAPEN),
    ],
)
def test_an_update_that_cannot_be_folded_does_not_leave(
    world: World, local: dict[str, "np.typing.NDArray[np.float32]"], code: FailureCode
) -> None:
    """It is a failure with its code; the node lives, and does the next round."""
    world.agree()
    world.train(1)
    world.done(local=local)
    assert world.orchestrator.answers[-1] == Failure(
        code=code, request_type="train.request", incident="1ncident"
    )
    assert world.files("scratch") == []
    world.train(2)
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_an_update_that_overflows_is_not_finite(world: World) -> None:
    """Both are finite, their difference is not."""
    most = float(np.finfo(np.float32).max)
    world.model = world.orchestrator.make_model({"w": np.array([-most], np.float32)})
    world.agree()
    world.train()
    world.done(local={"w": np.array([most], np.float32)})
    answer = world.orchestrator.answers[-1]
    assert isinstance(answer, Failure)
    assert answer.code is FailureCode.UPDATE_NOT_FINITE


def test_training_without_output_or_cases_is_a_failure(world: World) -> None:
    """A worker that says done and wrote nothing does not end the node."""
    world.agree()
    world.train(1)
    world.done(num_cases=0)
    world.train(2)
    world.say_done(world.job)
    codes = [one.code for one in world.orchestrator.answers[-2:] if isinstance(one, Failure)]
    assert codes == [FailureCode.DATASET_ERROR, FailureCode.INTERNAL]


def test_a_failure_tells_a_code_and_an_incident_and_the_site_the_rest(world: World) -> None:
    """What broke is found on the site by the incident's id, and nowhere else."""
    world.agree()
    world.train()
    world.broken(FailureCode.TRAINING_ERROR, "patient Doe\nis 99")
    reply = world.orchestrator.accepted[-1]
    assert reply.body == Failure(
        code=FailureCode.TRAINING_ERROR, request_type="train.request", incident="1ncident"
    )
    notes = (world.home / "incidents.log").read_text().splitlines()
    assert notes == [f"1ncident lung.1.0.train.{LYON} training_error: patient Doe is 99"]


def test_volumes_that_broke_since_the_check_are_an_incident_of_the_site_alone(
    world: World,
) -> None:
    """The task is answered without them; their names are beside the incident's id."""
    world.agree()
    world.train()
    world.done(unreadable=("case A: PET.nii.gz cannot be used", "case B: it is empty"))
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    notes = (world.home / "incidents.log").read_text().splitlines()
    why = "volumes_unreadable: case A: PET.nii.gz cannot be used; case B: it is empty"
    assert notes == [f"1ncident lung.1.0.train.{LYON} {why}"]


# Lives.


def test_a_task_in_hand_is_done_again_after_a_kill_with_the_same_seed(world: World) -> None:
    """Once, and answered once."""
    world.agree()
    world.train()
    first = world.job
    world.die()
    world.live()
    world.run()
    assert world.job == first
    world.done()
    world.run(seconds=2)
    assert [type(one) for one in world.orchestrator.answers].count(TrainReply) == 1
    assert world.num_trained == 2


def test_a_task_is_done_again_with_the_threads_that_its_experiment_began_with(
    world: World,
) -> None:
    """Whatever the operator has set meanwhile: another number would compute other bits."""
    world.die()
    world.max_threads = 3
    world.live()
    world.prepare(num_threads=8)
    world.approve()
    world.run(seconds=2)
    assert world.job.num_threads == 3
    world.done()
    world.train(num_threads=8)
    first = world.job
    assert (first.kind, first.num_threads) == (JobKind.TRAIN, 3)
    world.die()
    world.max_threads = 5
    world.live()
    world.run()
    assert world.job == first


def test_what_was_begun_is_done_again_before_what_came_later(world: World) -> None:
    """A question does not overtake work of which half is done."""
    world.agree()
    world.train()
    first = world.job
    world.prepare(LIVER)
    world.die()
    world.live()
    world.run()
    assert world.job == first


def test_a_trained_model_is_never_trained_again(world: World) -> None:
    """Killed between the worker's word and the answer, at each time the node looks at the clock."""
    world.agree()
    for number, calls in enumerate(range(8), start=1):
        world.train(number)
        before = world.num_trained
        world.calls_left = calls
        try:
            world.done()
        except Killed:
            is_trained = calls >= 1
            world.die()
            world.live()
            world.run()
            assert (world.num_trained == before) == is_trained
            if not is_trained:
                world.done()
        world.calls_left = None
        world.run(seconds=5)
        rounds = [
            one.envelope.round
            for one in world.orchestrator.accepted
            if isinstance(one.body, TrainReply)
        ]
        assert rounds == list(range(1, number + 1))


@pytest.mark.parametrize("calls", range(70))
def test_every_moment_may_be_the_last(tmp_path: Path, calls: int) -> None:
    """Killed at the n-th look at the clock, the node answers each request once all the same."""
    world = World(tmp_path)
    world.is_answering = True
    world.prepare()
    world.approve()
    world.calls_left = calls
    num_kills = 0
    for step in (world.idle, world.train, world.evaluate, world.over):
        try:
            step()
            world.run(seconds=2)
        except Killed:
            num_kills += 1
            world.die()
            world.live()
        if world.calls_left is None:
            world.settle()
    answers = world.orchestrator.answers
    kinds = [type(one) for one in answers]
    assert kinds == [Refusal, PrepareReply, TrainReply, EvaluateReply]
    assert num_kills == 1
    assert world.num_trained <= 2
    log = world.service._records.audit
    assert log.verify().fault is None
    assert len(list(log.facts(TrainingDone))) == 1
    assert len(list(log.facts(EvaluationAnswered))) == 1
    (update,) = [one.update for one in answers if isinstance(one, TrainReply)]
    path = world.orchestrator.courier.spool.path(update.digest)
    assert path.read_bytes() == parameters_bytes({"w": np.ones(3, np.float32)})
    world.run(seconds=2)
    assert (world.rows("tasks"), world.files("payloads"), world.files("scratch")) == (0, [], [])
    world.close()


@pytest.mark.parametrize("steps", range(0, 60, 3))
def test_a_node_may_die_between_any_two_steps_of_the_broker(tmp_path: Path, steps: int) -> None:
    """And be back later than its chunks."""
    world = World(tmp_path)
    world.is_answering = True
    world.prepare()
    world.approve()
    world.run(seconds=2)
    world.model = world.orchestrator.make_model({"w": np.zeros(2**20 + 7, np.float32)})
    world.train(num_steps=steps)
    world.die()
    world.run(seconds=30)
    world.live()
    world.settle()
    world.run(seconds=2)
    kinds = [type(one) for one in world.orchestrator.answers]
    assert kinds == [Refusal, PrepareReply, TrainReply]
    assert world.num_trained in {1, 2}
    assert (world.rows("tasks"), world.rows("outbox")) == (0, 0)
    assert world.files("payloads") == [world.model.digest]
    world.close()


def test_an_experiment_that_is_over_leaves_no_row_and_no_file(world: World) -> None:
    """Of what is answered, what is in hand, and what waits for a model that is on its way."""
    world.agree()
    world.train(1)
    world.done()
    world.train(2)
    big = world.orchestrator.make_model({"w": np.zeros(2**20, np.float32)})
    world.train(3, model=big, is_pushed=False)
    world.over()
    assert world.worker.num_cancelled == 1
    for table in ("tasks", "holds", "payloads", "outbox", "waiting", "computing"):
        assert world.rows(table) == 0, table
    assert (world.files("payloads"), world.files("scratch")) == ([], [])
    num_answers = len(world.orchestrator.answers)
    world.train(4)
    # Its queue at the orchestrator is gone: an answer would be sent for ever.
    assert (len(world.orchestrator.answers), world.rows("outbox")) == (num_answers, 0)
    assert world.num_trained == 2
    world.run(seconds=SWEEP_S + 1)
    assert world.files("payloads") == []


def test_an_experiment_that_is_over_ends_its_trainer(world: World) -> None:
    """Whether a job is in hand or not: what it holds in memory is of no more use."""
    world.agree()
    world.over()
    assert (world.worker.ended_experiments, world.worker.num_cancelled) == ([LUNG], 0)
    world.agree(LIVER)
    world.train(experiment=LIVER)
    world.over(LIVER)
    assert (world.worker.ended_experiments, world.worker.num_cancelled) == ([LUNG, LIVER], 1)


def test_trainers_that_nobody_uses_are_looked_for(world: World) -> None:
    """With every review, on the clock that only goes on."""
    world.worker.unused_looked_at.clear()
    world.run(seconds=3)
    assert world.worker.unused_looked_at == [world.now - 2, world.now - 1, world.now]


def test_an_experiment_that_is_over_is_not_answered_when_its_plan_is_approved(world: World) -> None:
    """The operator may take weeks."""
    world.prepare()
    world.over()
    world.approve()
    world.run(seconds=2)
    assert len(world.orchestrator.answers) == 1
    assert world.worker.jobs == []


def test_half_a_model_goes_with_its_experiment(world: World) -> None:
    """And what comes for an experiment that is over is not noted as needed."""
    world.agree()
    big = world.orchestrator.make_model({"w": np.zeros(2**20, np.float32)})
    world.train(model=big, is_pushed=False)
    pusher = world.orchestrator.courier._pusher
    pusher.push(big, [to_node(LYON)], LUNG, chunks=[1])
    world.run()
    stem = f"{big.digest}.{big.size_bytes}-{big.chunk_bytes}"
    assert world.files("payloads") == [f"{stem}.have", f"{stem}.part"]
    world.over()
    assert world.files("payloads") == []
    world.train(2, model=big, is_pushed=False)
    assert world.rows("payloads") == 0


def test_older_work_is_dropped_before_the_model_of_the_newer_is_here(world: World) -> None:
    """Nobody waits for it, however long that model takes to come."""
    world.agree()
    world.train(1)
    big = world.orchestrator.make_model({"w": np.zeros(2**20, np.float32)})
    world.train(2, model=big, is_pushed=False)
    assert world.worker.num_cancelled == 1
    assert world.rows("tasks") == 0
    assert world.rows("waiting") == 1


def test_work_behind_the_end_of_its_experiment_awaits_no_model(world: World) -> None:
    """Nobody has that model any more: it would be asked for, for ever."""
    world.agree()
    world.over()
    big = world.orchestrator.make_model({"w": np.zeros(2**20, np.float32)})
    world.train(2, model=big, is_pushed=False)
    assert world.rows("waiting") == 0
    assert world.service._courier.num_awaited == 0


def test_chunks_that_come_when_all_is_over_are_swept_away(world: World) -> None:
    """The queue of chunks may be behind that of the requests."""
    world.agree()
    world.over()
    courier = world.orchestrator.courier
    courier.push(world.model, [to_node(LYON)], LUNG)
    world.run()
    assert world.files("payloads") == [world.model.digest]
    world.run(seconds=SWEEP_S + 1)
    assert world.files("payloads") == []


def test_another_experiments_payload_stays(world: World) -> None:
    """Equal models have one file."""
    world.agree()
    world.agree("liver")
    world.train(experiment=LIVER)
    world.train()
    world.over()
    assert world.files("payloads") == [world.model.digest]
    world.done()
    assert isinstance(world.orchestrator.answers[-1], TrainReply)
    world.over(LIVER)
    assert world.files("payloads") == []


def test_what_an_earlier_life_left_is_swept_away(world: World) -> None:
    """Files that no table names: half an update, chunks of an experiment that is over."""
    world.die()
    for name in ("lung.1.0.update.part", "ab" * 32 + ".part", "ab" * 32 + ".have", "cd" * 32):
        (world.home / "payloads" / name).write_bytes(b"x")
    (world.home / "scratch" / "lung.1.0.output").write_bytes(b"x")
    world.live()
    assert (world.files("payloads"), world.files("scratch")) == ([], [])


# Who may have what, signs of life.


def test_the_orchestrator_may_fetch_the_nodes_updates_and_nothing_else(world: World) -> None:
    """Not even its own model back."""
    world.agree()
    world.transport.disconnect()
    world.transport.connect()
    world.train()
    world.done()
    assert not world.service.may_fetch("orchestrator", world.model.digest)
    reply = world.orchestrator.answers[-1]
    assert isinstance(reply, TrainReply)
    assert world.service.may_fetch("orchestrator", reply.update.digest)
    assert not world.service.may_fetch("umc-basel", reply.update.digest)


def test_an_update_that_was_lost_is_fetched(world: World) -> None:
    """Killed before its chunks left, the node sends them when they are asked for."""
    world.agree()
    world.train()
    world.transport.disconnect()
    world.done()
    world.transport.connect()
    world.run(seconds=6)
    assert isinstance(world.orchestrator.answers[-1], TrainReply)


def test_requests_outside_any_experiment_go_to_the_dead_letters(world: World) -> None:
    """They could be neither ordered in time nor cleared up."""
    with capture_logs() as logged:
        world.prepare("-")
        assert world.broker.depth(topology.DEAD_QUEUE) == 1
        world.train(experiment="-")
    assert [(one["event"], one["kind"], one["sender"]) for one in logged] == [
        ("message_rejected", "prepare.request", "orchestrator"),
        ("message_rejected", "train.request", "orchestrator"),
    ]
    assert (world.rows("tasks"), world.rows("payloads"), world.rows("rejected")) == (0, 0, 2)
    assert world.orchestrator.answers == []


def test_a_ping_is_answered(world: World) -> None:
    """Outside any experiment too."""
    world.orchestrator.ask(PingRequest(asked_at=5.0), "ping.1", Place())
    world.run()
    assert world.orchestrator.answers == [PingReply(asked_at=5.0)]


def test_the_node_says_that_it_is_there_and_what_it_does(world: World) -> None:
    """Online at each connection, a heartbeat every five seconds, with round and progress."""
    world.run()
    assert [one.body for one in world.orchestrator.heard] == [NodeOnline(version="0.1")]
    world.agree()
    world.train()
    world.train(1, experiment=LIVER)
    world.take(Progress(job_id=world.job.job_id, share=0.5, text="epoch 1/2"))
    world.orchestrator.heard.clear()
    world.run(seconds=10)
    heartbeats = [one for one in world.orchestrator.heard if isinstance(one.body, Heartbeat)]
    assert len(heartbeats) == 2
    assert heartbeats[-1].envelope.place == Place(experiment=LUNG, round=1)
    body = heartbeats[-1].body
    assert body == Heartbeat(version="0.1", activity=Activity.TRAINING, progress=0.5, num_waiting=1)
    world.done()
    world.done()
    world.run(seconds=6)
    last = world.orchestrator.heard[-1].body
    assert isinstance(last, Heartbeat)
    assert (last.activity, last.num_waiting) == (Activity.IDLE, 0)


@pytest.mark.parametrize(
    ("ask", "activity"),
    [
        (World.prepare, Activity.PREPARING),
        (World.train, Activity.TRAINING),
        (World.evaluate, Activity.EVALUATING),
    ],
    ids=["prepare", "train", "evaluate"],
)
def test_each_kind_of_task_has_its_word(
    world: World, ask: Callable[[World], None], activity: Activity
) -> None:
    """Who counts its cases is not shown as one that evaluates a round."""
    world.agree(LIVER)
    ask(world)
    world.orchestrator.heard.clear()
    world.run(seconds=6)
    bodies = [one.body for one in world.orchestrator.heard]
    assert [one.activity for one in bodies if isinstance(one, Heartbeat)] == [activity]


def test_long_ids_of_requests_give_ids_of_replies(world: World) -> None:
    """An id may have 200 characters, and so may a reply's."""
    world.orchestrator.ask(PingRequest(asked_at=1.0), "p" * 200, Place())
    world.run()
    assert world.orchestrator.answers == [PingReply(asked_at=1.0)]


def test_run_serves_until_it_is_stopped(world: World) -> None:
    """Worker, broker and journal are let go."""
    world.service.stop()
    world.service.run()
    assert world.worker.is_closed
    world.live()


def test_its_operator_is_reminded_while_it_serves(world: World) -> None:
    """For as long as it runs; what is due, the reminder knows."""
    world.reminders.clear()
    began_at = world.now
    world.run(seconds=3)
    assert {began_at + 1, began_at + 2, began_at + 3} <= set(world.reminders)
