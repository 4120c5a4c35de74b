"""The reception: what researchers may ask, see, stop and fetch, and what they may not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedmq.messages.submissions import (
    Acceptance,
    ExperimentReport,
    NodesReport,
    OrderReport,
    QueryKind,
    Rejection,
    ReportList,
)
from fedmq.parameters import parameters_bytes
from fedmq.transport import topology
from fedmq.transport.routes import from_researcher
from fedmq.types import ORCHESTRATOR, ExperimentId
from tests.unit.messages.examples import DATASET
from tests.unit.orchestrator.arithmetic import (
    ADA,
    LUNG,
    LYON,
    make_spec,
    models_by_hand,
)
from tests.unit.orchestrator.federation import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a small federation."""
    made = World(tmp_path)
    yield made
    made.close()


def test_the_researcher_fetches_the_final_model(world: World) -> None:
    """Nobody else can."""
    world.ada.submit(make_spec())
    world.run_until_over(LUNG)
    report = world.ada.report()
    assert report.model is not None
    for member in (world.ada, world.bob):
        member.courier.fetch(report.model, from_researcher(member.researcher, ORCHESTRATOR), LUNG)
    world.run()
    fetched = world.ada.load(report.model.digest)
    assert parameters_bytes(fetched) == parameters_bytes(models_by_hand(2)[2])
    assert not world.bob.courier.spool.has(report.model.digest)
    assert world.rejected() == ["not_for_sender"]


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
    world.require_nothing_left(one, two)


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
    world.require_nothing_left(LUNG)


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
    world.require_nothing_left(LUNG)


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
    world.require_nothing_left(LUNG)


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
    world.require_nothing_left(*cases)


def test_an_experiment_cannot_stand_outside_all_experiments(world: World) -> None:
    """Its queues would take what nodes say outside any."""
    submission = world.ada.submit(make_spec(), ExperimentId("-"), message_id="submission")
    world.run(seconds=10)
    assert isinstance(world.ada.answers[submission], Rejection)
    assert world.broker.queue("experiment.-@orchestrator.replies") is None
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


def test_a_researcher_is_shown_the_order_by_which_an_experiment_is_led(world: World) -> None:
    """As it was signed; another's experiment is as if it were not."""
    world.nodes[LYON].spoils = {1: "silent"}
    world.ada.submit(make_spec())
    world.run(seconds=5)
    shown = world.ada.ask(QueryKind.ORDER, LUNG)
    assert isinstance(shown, OrderReport)
    order = shown.mandate.order
    assert (order.experiment, order.researcher) == (LUNG, ADA)
    assert order.orchestrator == ORCHESTRATOR
    assert isinstance(world.bob.ask(QueryKind.ORDER, LUNG), Rejection)


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
    world.require_nothing_left(LUNG)


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


def test_an_experiment_of_very_many_rounds_is_still_shown(world: World) -> None:
    """A report that no message holds would never be answered, and a stop undone."""
    world.nodes[LYON].spoils = {2: "silent"}
    world.ada.submit(make_spec(nodes=(LYON,), quorum=1))
    world.run(seconds=2)
    (record,) = world.records()
    large = record.model_copy(update={"outcomes": record.outcomes * 10})
    world.keep_records(large.model_copy(update={"round": number}) for number in range(2, 5_001))
    report = world.ada.ask(QueryKind.STOP, LUNG)
    assert isinstance(report, ExperimentReport)
    assert report.state == "stopped"
    assert report.records[-1].round == 5_000
    assert world.rejected() == []


def test_researchers_are_told_what_nodes_tell_of_their_data(world: World) -> None:
    """As each did last; the orchestrator's next life knows it too."""
    node = world.nodes[LYON]
    node.says_hello([DATASET])
    world.run(seconds=2)
    for _ in range(2):
        told = world.ada.ask(QueryKind.NODES)
        assert isinstance(told, NodesReport)
        known = {one.node: one.datasets for one in told.nodes}
        assert known[LYON] == [DATASET]
        assert not any(datasets for name, datasets in known.items() if name != LYON)
        world.die()
        world.live()
        for one in world.nodes.values():
            one.beat()
        world.run(seconds=1)
    node.says_hello([])
    world.run(seconds=2)
    told = world.ada.ask(QueryKind.NODES)
    assert isinstance(told, NodesReport)
    assert {len(one.datasets) for one in told.nodes} == {0}
