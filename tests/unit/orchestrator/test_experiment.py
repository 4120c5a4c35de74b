"""An experiment: its stages, and what it promises whatever happens in whatever order."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fedmq.messages.fields import Manifest, PlanReference, RatioField
from fedmq.messages.mandates import ExperimentSpec, LateUpdates
from fedmq.messages.requests import Counted
from fedmq.messages.submissions import RoundRecord, Stand
from fedmq.orchestrator.events import (
    EVENT,
    Action,
    Agreed,
    Announce,
    AskPrepare,
    AskWork,
    Declined,
    Deferred,
    Evaluated,
    Event,
    Fell,
    Fold,
    Folded,
    FoldFailed,
    Heard,
    Keep,
    KeepLate,
    Leg,
    PauseAsked,
    ResumeAsked,
    RoomFound,
    RoomLacked,
    StopAsked,
    Ticked,
    Trained,
)
from fedmq.orchestrator.experiment import GRACE_S, advance, begin, undone
from fedmq.orchestrator.leftovers import needed_payloads
from fedmq.orchestrator.rounds import LAST_RETRY_S, RETRY_S
from fedmq.orchestrator.standings import standings
from fedmq.orchestrator.state import PAUSED, Experiment, Stage
from fedmq.types import Digest, NodeId

A, B, C, Z = (NodeId(name) for name in ("a", "b", "c", "z"))
DEADLINE_S = 100.0
WAITING_S = 1_000.0


def manifest(number: int) -> Manifest:
    """Return the manifest of a payload, known by its number."""
    return Manifest(digest=Digest(f"{number:064x}"), size_bytes=1, chunk_bytes=1)


def spec(  # noqa: PLR0913 - every setting has a default
    *,
    nodes: tuple[NodeId, ...] = (A, B, C),
    quorum: int = 2,
    rounds: int = 2,
    evaluate: bool = True,
    waiting_s: float = WAITING_S,
    attempts: int = 1,
    late: LateUpdates = LateUpdates.DROP,
    update_encoding: str = "exact",
) -> ExperimentSpec:
    """Return the spec of an experiment of three nodes."""
    return ExperimentSpec(
        name="lung",
        purpose="a test",
        plan=PlanReference(name="plan", digest=Digest("0" * 64), is_shipped=False),
        dataset="lung-petct",
        num_rounds=rounds,
        nodes=list(nodes),
        quorum=quorum,
        round_deadline_s=DEADLINE_S,
        waiting_deadline_s=waiting_s,
        max_attempts=attempts,
        late_updates=late,
        update_encoding=update_encoding,
        evaluate=evaluate,
    )


class Driver:
    """An experiment with its actions kept, and time going on by itself."""

    def __init__(self, one: ExperimentSpec | None = None) -> None:
        self.now = 0.0
        self.state, self.actions = begin(one or spec(), manifest(0), now=self.now)
        self.records: list[RoundRecord] = []
        """Of closed rounds, as the service is to keep them."""

    def does(self, *events: Event, after: float = 1.0) -> tuple[Action, ...]:
        """Advance by each event; return the actions of the last one."""
        for event in events:
            self.now += after
            self.state, self.actions = advance(self.state, event, now=self.now)
            self.records += [one.record for one in self.actions if isinstance(one, Keep)]
        return self.actions

    def agrees(self, *nodes: NodeId) -> tuple[Action, ...]:
        """Let nodes agree to take part."""
        return self.does(*(Agreed(node=node) for node in nodes))

    def trains(self, *nodes: NodeId) -> tuple[Action, ...]:
        """Let nodes answer with an update, in this round."""
        return self.does(*(trained(node, self.state.round) for node in nodes))

    def evaluates(self, *nodes: NodeId) -> tuple[Action, ...]:
        """Let nodes answer with metrics, in this round."""
        return self.does(*(evaluated(node, self.state.round) for node in nodes))

    def folds(self) -> tuple[Action, ...]:
        """Let the fold of this round end."""
        return self.does(Folded(model=manifest(self.state.round)))


def trained(node: NodeId, number: int, attempt: int = 0) -> Trained:
    """Return the arrival of an update."""
    return Trained(
        node=node,
        round=number,
        attempt=attempt,
        update=manifest(1_000 + ord(node[0])),
        num_cases=ord(node[0]),
        metrics={"loss": RatioField(numerator=1.0, denominator=2.0)},
        duration_s=1.0,
    )


def evaluated(node: NodeId, number: int, attempt: int = 0) -> Evaluated:
    """Return the arrival of metrics."""
    return Evaluated(
        node=node, round=number, attempt=attempt, num_cases=1, metrics={}, duration_s=1.0
    )


def fell(
    node: NodeId,
    number: int,
    leg: Leg = "train",
    *,
    code: str = "out_of_memory",
    attempt: int = 0,
    is_refusal: bool = False,
) -> Fell:
    """Return a node's failure in a leg."""
    return Fell(node=node, round=number, attempt=attempt, leg=leg, code=code, is_refusal=is_refusal)


def deferred(
    node: NodeId, number: int, leg: Leg = "train", *, until: float | None = None, attempt: int = 0
) -> Deferred:
    """Return the word of a node that does its work later."""
    return Deferred(
        node=node,
        round=number,
        attempt=attempt,
        leg=leg,
        code="out_of_hours",
        retry_at=until,
        until=until,
    )


@pytest.mark.parametrize("encoding", ["top-k", "bf16"])
def test_nodes_are_told_which_of_their_updates_counted_last(encoding: str) -> None:
    """Where the next one depends on it; who came late in a round still goes on from the one before.

    C missed round 2, and gave its update of round 1 in the second attempt.
    """
    driver = Driver(spec(rounds=3, quorum=2, evaluate=False, attempts=3, update_encoding=encoding))
    driver.agrees(A, B, C)
    driver.does(fell(A, 1), fell(B, 1), fell(C, 1))
    driver.does(Ticked(), after=60.0)
    driver.does(*(trained(node, 1, attempt=1) for node in (A, B, C)))
    driver.folds()
    driver.trains(A, B)
    driver.does(Ticked(), after=DEADLINE_S)
    actions = driver.folds()
    (ask,) = [one for one in actions if isinstance(one, AskWork)]
    wanted = {
        A: Counted(round=2, attempt=0),
        B: Counted(round=2, attempt=0),
        C: Counted(round=1, attempt=1),
    }
    assert ask.round == 3
    assert ask.counted == (wanted if encoding == "top-k" else {})


def test_a_model_that_travels_narrow_is_asked_for_and_the_model_itself_is_kept() -> None:
    """Until the next one takes the place of both."""
    driver = Driver(spec(rounds=2, evaluate=True))
    driver.agrees(A, B, C)
    driver.trains(A, B, C)
    (ask,) = [
        one
        for one in driver.does(Folded(model=manifest(1), sent=manifest(501)))
        if isinstance(one, AskWork)
    ]
    assert (ask.leg, ask.model) == ("evaluate", manifest(501))
    assert driver.state.model == manifest(1)
    actions = driver.evaluates(A, B, C)
    assert [one.model for one in actions if isinstance(one, AskWork)] == [manifest(501)]
    assert driver.records[-1].model == manifest(1).digest
    actions = driver.trains(A, B, C)
    assert [one.reference for one in actions if isinstance(one, Fold)] == [manifest(1)]
    assert {manifest(1).digest, manifest(501).digest} <= needed_payloads([driver.state], [])
    driver.does(StopAsked())
    assert needed_payloads([driver.state], []) == {manifest(1).digest}


def declined(node: NodeId, code: str = "unknown_plan", *, is_final: bool = True) -> Declined:
    """Return a node's no."""
    return Declined(node=node, code=code, is_final=is_final)


def at(stage: Stage) -> Driver:
    """Return an experiment in that stage, in round 1 if it has one."""
    driver = Driver()
    match stage:
        case Stage.FAILED:
            driver.does(*(declined(node) for node in (A, B)))
        case Stage.STOPPED:
            driver.does(StopAsked())
        case Stage.FINISHED | Stage.FINISHED_SHORT:
            driver = Driver(spec(rounds=1, evaluate=False))
            driver.agrees(A, B, C)
            driver.trains(A, B)
            driver.does(trained(C, 1) if stage is Stage.FINISHED else fell(C, 1))
            driver.folds()
        case _:
            for step in (
                lambda: driver.agrees(A, B, C),
                lambda: driver.trains(A, B, C),
                driver.folds,
            ):
                if driver.state.stage is not stage:
                    step()
    assert driver.state.stage is stage
    return driver


NOTHING: dict[str, Event] = {
    "heard": Heard(node=Z),
    "agreed by one who was not asked": Agreed(node=Z),
    "declined by one who was not asked": declined(Z),
    "agreed again": Agreed(node=A),
    "trained in an older round": trained(A, 0),
    "trained in a later round": trained(A, 2),
    "trained in another attempt": trained(A, 1, attempt=1),
    "trained by one who was not asked": trained(Z, 1),
    "evaluated in a later round": evaluated(A, 2),
    "evaluated by one who was not asked": evaluated(Z, 1),
    "fell in an older round": fell(A, 0),
    "put off in an older round": deferred(A, 0),
    "put off in another attempt": deferred(A, 1, attempt=1),
    "put off by one who was not asked": deferred(Z, 1),
    "time went on": Ticked(),
}
"""What changes nothing in any stage, but for an agreement before the first round."""


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("stage", Stage)
def test_what_is_late_stale_or_unasked_changes_nothing(stage: Stage, name: str) -> None:
    """Each row: the state is equal and nothing is to be done."""
    if stage is Stage.PREPARING and name == "agreed again":
        return
    driver = at(stage)
    before = driver.state
    assert driver.does(NOTHING[name]) == ()
    assert driver.state == before


@pytest.mark.parametrize(
    ("stage", "event", "follows"),
    [
        (Stage.PREPARING, Agreed(node=A), Stage.PREPARING),
        (Stage.PREPARING, trained(A, 1), Stage.PREPARING),
        (Stage.PREPARING, Folded(model=manifest(9)), Stage.PREPARING),
        (Stage.PREPARING, FoldFailed(why="late"), Stage.PREPARING),
        (Stage.PREPARING, StopAsked(), Stage.STOPPED),
        (Stage.TRAINING, trained(A, 1), Stage.TRAINING),
        (Stage.TRAINING, evaluated(A, 1), Stage.TRAINING),
        (Stage.TRAINING, fell(A, 1), Stage.TRAINING),
        (Stage.TRAINING, fell(A, 1, "evaluate"), Stage.TRAINING),
        (Stage.TRAINING, Folded(model=manifest(9)), Stage.TRAINING),
        (Stage.TRAINING, FoldFailed(why="late"), Stage.TRAINING),
        (Stage.TRAINING, StopAsked(), Stage.STOPPED),
        (Stage.FOLDING, trained(A, 1), Stage.FOLDING),
        (Stage.FOLDING, fell(A, 1), Stage.FOLDING),
        (Stage.FOLDING, Folded(model=manifest(9)), Stage.EVALUATING),
        (Stage.FOLDING, FoldFailed(why="misshapen"), Stage.FAILED),
        (Stage.FOLDING, StopAsked(), Stage.STOPPED),
        (Stage.EVALUATING, trained(A, 1), Stage.EVALUATING),
        (Stage.EVALUATING, evaluated(A, 1), Stage.EVALUATING),
        (Stage.EVALUATING, Folded(model=manifest(9)), Stage.EVALUATING),
        (Stage.EVALUATING, FoldFailed(why="late"), Stage.EVALUATING),
        (Stage.EVALUATING, StopAsked(), Stage.STOPPED),
        (Stage.FINISHED, StopAsked(), Stage.FINISHED),
        (Stage.FINISHED, Agreed(node=B), Stage.FINISHED),
        (Stage.FAILED, StopAsked(), Stage.FAILED),
        (Stage.FAILED, Agreed(node=A), Stage.FAILED),
        (Stage.STOPPED, Folded(model=manifest(9)), Stage.STOPPED),
        (Stage.STOPPED, FoldFailed(why="late"), Stage.STOPPED),
    ],
)
def test_an_event_leads_where_the_table_says(stage: Stage, event: Event, follows: Stage) -> None:
    """Each row: a stage of round 1, what happens, and the stage after it."""
    driver = at(stage)
    driver.does(event)
    assert driver.state.stage is follows


def test_two_rounds_ask_fold_and_keep_in_this_order() -> None:
    """The whole life of an experiment, action by action."""
    driver = Driver()
    assert driver.actions == tuple(AskPrepare(node=node) for node in (A, B, C))
    assert driver.agrees(A, B) == ()
    (ask,) = driver.agrees(C)
    assert ask == AskWork(
        leg="train",
        nodes=(A, B, C),
        round=1,
        attempt=0,
        model=manifest(0),
        deadline=driver.now + DEADLINE_S,
        is_new=True,
    )
    assert driver.trains(C, A) == ()
    (fold,) = driver.trains(B)
    assert fold == Fold(
        round=1,
        reference=manifest(0),
        updates=tuple((node, trained(node, 1).update, ord(node)) for node in (A, B, C)),
    )
    (ask,) = driver.folds()
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.model, ask.is_new, ask.round) == ("evaluate", manifest(1), True, 1)
    keep, ask = driver.evaluates(A, B, C)
    assert keep == Keep(record=driver.records[0])
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.model, ask.is_new, ask.round) == ("train", manifest(1), False, 2)
    driver.trains(A, B, C)
    driver.folds()
    assert driver.evaluates(A, B, C) == (
        Keep(record=driver.records[1]),
        Announce(nodes=(A, B, C)),
    )
    assert driver.state.stage is Stage.FINISHED
    assert driver.state.reason() == ""
    assert [(record.round, record.model) for record in driver.records] == [
        (1, manifest(1).digest),
        (2, manifest(2).digest),
    ]
    assert driver.state.model_round == 2


def test_without_evaluation_a_round_closes_with_its_model() -> None:
    """And the next one sends the model, which nobody has."""
    driver = Driver(spec(evaluate=False))
    driver.agrees(A, B, C)
    driver.trains(A, B, C)
    keep, ask = driver.folds()
    assert keep == Keep(record=driver.records[0])
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.round, ask.is_new, ask.model) == ("train", 2, True, manifest(1))


def test_the_deadline_closes_a_leg_with_a_quorum_and_names_who_missed() -> None:
    """Two of three are enough; the third is in the record."""
    driver = Driver(spec(rounds=1, evaluate=False))
    driver.agrees(A, B, C)
    driver.trains(A, B)
    assert driver.state.reason() == "2 of 3; waiting for c"
    driver.does(Ticked(), after=DEADLINE_S)
    assert driver.state.stage is Stage.FOLDING
    assert driver.trains(C) == ()
    driver.folds()
    outcomes = driver.records[0].outcomes
    assert [(one.node, one.outcome) for one in outcomes] == [
        (A, "updated"),
        (B, "updated"),
        (C, "missed"),
    ]


def test_the_deadline_without_a_quorum_ends_it_with_the_reason() -> None:
    """An operator reads who was waited for."""
    driver = Driver()
    driver.agrees(A, B, C)
    driver.trains(A)
    assert driver.does(Ticked(), after=DEADLINE_S) == (Announce(nodes=(A, B, C)),)
    assert driver.state.stage is Stage.FAILED
    assert driver.state.reason() == ("round 1, training: 1 of 3; 2 are needed; no answer from b, c")


def test_failures_that_leave_a_quorum_are_recorded_with_their_code() -> None:
    """One failing node does not end an experiment."""
    driver = Driver(spec(rounds=1))
    driver.agrees(A, B, C)
    driver.trains(A)
    driver.does(fell(B, 1))
    driver.trains(C)
    driver.folds()
    driver.evaluates(A, B)
    driver.does(fell(C, 1, "evaluate"))
    assert driver.state.stage is Stage.FINISHED_SHORT
    assert driver.state.reason() == "b missed round 1"
    assert [one.outcome for one in driver.records[0].outcomes] == [
        "updated",
        "out_of_memory",
        "updated",
    ]


@pytest.mark.parametrize("leg", ["train", "evaluate"])
def test_failures_that_leave_no_quorum_end_it_at_once(leg: Leg) -> None:
    """Without waiting for the deadline, and with every code."""
    driver = at(Stage.TRAINING if leg == "train" else Stage.EVALUATING)
    driver.does(fell(B, 1, leg), fell(C, 1, leg, code="disk_full"))
    doing = "training" if leg == "train" else "evaluating"
    assert driver.state.stage is Stage.FAILED
    assert driver.state.reason() == (
        f"round 1, {doing}: 0 of 3; 2 are needed; no answer from a; "
        "b failed: out_of_memory; c failed: disk_full"
    )


def test_a_quorum_waits_for_the_others_a_while_before_the_first_round() -> None:
    """Then begins without them."""
    driver = Driver()
    driver.agrees(A, B)
    assert driver.does(Ticked(), after=GRACE_S - 0.1) == ()
    (ask,) = driver.does(Ticked(), after=0.1)
    assert isinstance(ask, AskWork)
    assert ask.nodes == (A, B)


def test_who_declined_is_not_waited_for() -> None:
    """Refused or awaiting approval: the others begin."""
    driver = Driver()
    driver.agrees(A, B)
    driver.does(declined(C, "plan_awaits_approval", is_final=False))
    assert driver.state.stage is Stage.TRAINING


def test_a_node_that_agrees_late_takes_part_from_the_next_leg_on() -> None:
    """It is not asked for what is under way, and its answers to that do not count."""
    driver = Driver()
    driver.does(declined(C, "plan_awaits_approval", is_final=False))
    driver.agrees(A, B)
    assert driver.agrees(C) == ()
    assert driver.trains(C) == ()
    driver.trains(A, B)
    (ask,) = driver.folds()
    assert isinstance(ask, AskWork)
    assert ask.nodes == (A, B, C)
    _, ask = driver.evaluates(A, B, C)
    assert isinstance(ask, AskWork)
    assert (ask.round, ask.nodes) == (2, (A, B, C))
    assert [one.node for one in driver.records[0].outcomes] == [A, B]


def test_an_experiment_waits_for_approvals_and_says_so() -> None:
    """Awaiting approval is not a no."""
    driver = Driver()
    driver.does(*(declined(one, "plan_awaits_approval", is_final=False) for one in (A, B)))
    assert driver.state.stage is Stage.PREPARING
    assert driver.state.reason() == (
        "0 of at least 2 nodes take part; no answer yet from c; "
        "a: plan_awaits_approval; b: plan_awaits_approval"
    )
    driver.does(*(declined(one, "plan_rejected") for one in (A, B)))
    assert driver.state.stage is Stage.FAILED
    assert "a: plan_rejected" in driver.state.reason()


def test_a_word_that_was_overtaken_takes_no_member_away() -> None:
    """The approval came first, the message that it is awaited second."""
    driver = Driver()
    driver.agrees(A)
    assert driver.does(declined(A, "plan_awaits_approval", is_final=False)) == ()
    assert driver.state.members == {A}
    driver.does(declined(A))
    assert driver.state.members == frozenset()


def test_a_round_goes_on_without_a_node_that_has_to_wait_and_asks_it_in_the_next() -> None:
    """It is no member less; the record says why it is missing."""
    driver = at(Stage.TRAINING)
    driver.does(deferred(C, 1))
    assert [one.stand for one in standings(driver.state)] == ["takes_part"] * 2 + ["waits"]
    driver.trains(A, B)
    assert driver.state.stage is Stage.FOLDING
    driver.folds()
    driver.does(deferred(C, 1, "evaluate"))
    driver.evaluates(A, B)
    assert driver.records[0].outcomes[2].outcome == "out_of_hours"
    (ask,) = [one for one in driver.actions if isinstance(one, AskWork)]
    assert (ask.round, ask.nodes) == (2, (A, B, C))


def test_a_round_waits_for_the_hour_of_a_node_that_comes_before_its_deadline() -> None:
    """And takes its update then."""
    driver = at(Stage.TRAINING)
    leg = driver.state.leg
    assert leg is not None
    driver.does(deferred(C, 1, until=leg.deadline - 1))
    driver.trains(A, B)
    assert driver.state.stage is Stage.TRAINING
    assert "c waits: out_of_hours" in driver.state.reason()
    driver.trains(C)
    assert driver.state.stage is Stage.FOLDING
    assert driver.state.trained.keys() == {A, B, C}


def test_a_quorum_that_has_to_wait_is_asked_again_after_the_deadline() -> None:
    """Whoever is out of hours for all of a round is not refused for ever."""
    driver = Driver(spec(attempts=2))
    driver.agrees(A, B, C)
    driver.does(deferred(B, 1), deferred(C, 1))
    driver.trains(A)
    assert driver.state.stage is Stage.TRAINING
    driver.does(Ticked(), after=spec().round_deadline_s)
    assert driver.state.retry_at is not None
    actions = driver.does(Ticked(), after=RETRY_S)
    assert [(one.attempt, one.nodes) for one in actions if isinstance(one, AskWork)] == [
        (1, (B, C))
    ]


def test_how_each_node_stands_is_told() -> None:
    """From the question on."""
    driver = Driver()
    later = Declined(node=B, code="out_of_hours", is_final=False, retry_at=9.0)
    driver.does(declined(A), later)
    told = [(one.node, one.stand, one.code, one.retry_at) for one in standings(driver.state)]
    assert told == [
        (A, Stand.REFUSED, "unknown_plan", None),
        (B, Stand.WAITS, "out_of_hours", 9.0),
        (C, Stand.SILENT, "", None),
    ]
    driver = at(Stage.TRAINING)
    driver.does(fell(A, 1), fell(B, 1, code="plan_rejected", is_refusal=True))
    told = [(one.node, one.stand, one.code, one.retry_at) for one in standings(driver.state)]
    assert told[:2] == [
        (A, Stand.FAILED, "out_of_memory", None),
        (B, Stand.REFUSED, "plan_rejected", None),
    ]


def test_waiting_ends_at_its_deadline() -> None:
    """With the reason."""
    driver = Driver()
    driver.agrees(A)
    driver.does(Ticked(), after=WAITING_S)
    assert driver.state.stage is Stage.FAILED
    assert driver.state.reason() == (
        "not enough nodes in time: 1 of at least 2 nodes take part; no answer yet from b, c"
    )


def test_a_quorum_at_the_waiting_deadline_begins() -> None:
    """Even where the while for the others is longer than the wait."""
    driver = Driver(spec(waiting_s=GRACE_S / 2))
    driver.agrees(A, B)
    driver.does(Ticked(), after=GRACE_S / 2)
    assert driver.state.stage is Stage.TRAINING


def test_an_open_experiment_asks_whom_it_hears_and_waits_for_more() -> None:
    """That the first ones refuse says nothing of the others."""
    driver = Driver(spec(nodes=()))
    assert driver.actions == ()
    assert driver.does(Heard(node=A)) == (AskPrepare(node=A),)
    assert driver.does(Heard(node=A)) == ()
    driver.does(Heard(node=B), declined(A), declined(B))
    assert driver.state.stage is Stage.PREPARING
    driver.does(Heard(node=C), Heard(node=Z))
    driver.agrees(C, Z)
    assert driver.state.stage is Stage.TRAINING
    assert driver.state.cohort == {C, Z}


def test_a_member_that_withdraws_fails_the_next_leg_when_the_quorum_goes_with_it() -> None:
    """Not the leg under way, whose updates may be there."""
    driver = Driver()
    driver.does(declined(C))
    driver.agrees(A, B)
    driver.does(declined(B))
    driver.trains(A, B)
    assert driver.state.stage is Stage.FOLDING
    driver.folds()
    driver.does(Ticked())
    assert driver.state.stage is Stage.FAILED
    assert driver.state.reason() == "round 1, evaluating: 0 of 1; 2 are needed; no answer from a"


def test_nobody_is_asked_where_all_members_withdrew() -> None:
    """The leg fails as time goes on."""
    driver = Driver(spec(nodes=(), quorum=1, rounds=1))
    driver.does(Heard(node=A), Agreed(node=A))
    driver.trains(A)
    driver.does(declined(A))
    assert driver.folds() == ()
    driver.does(Ticked())
    assert driver.state.stage is Stage.FAILED


def test_only_a_fold_that_was_cut_off_is_done_again() -> None:
    """All else is in the outbox."""
    assert undone(at(Stage.FOLDING).state) == at(Stage.FOLDING).actions
    for stage in set(Stage) - {Stage.FOLDING}:
        assert undone(at(stage).state) == ()


nodes_drawn = st.sampled_from([A, B, C, Z])
rounds_drawn = st.integers(0, 4)


def test_a_leg_without_a_quorum_is_tried_again_with_whom_it_misses() -> None:
    """Who answered is not asked again; who failed for a passing reason is, after a while."""
    driver = Driver(spec(quorum=3, rounds=1, evaluate=False, attempts=2))
    driver.agrees(A, B, C)
    driver.trains(A)
    assert driver.does(fell(B, 1, code="worker_died")) == ()
    assert driver.state.reason() == (
        "1 of 3; 3 are needed; no answer from c; b failed: worker_died; attempt 2 of 2 follows"
    )
    assert driver.does(Ticked(), after=RETRY_S - 1) == ()
    (ask,) = driver.does(Ticked())
    assert isinstance(ask, AskWork)
    assert (ask.nodes, ask.round, ask.attempt, ask.is_new) == ((B, C), 1, 1, False)
    assert ask.deadline == driver.now + DEADLINE_S
    assert driver.does(trained(B, 1)) == ()  # of the attempt before
    assert driver.state.trained.keys() == {A}
    driver.does(trained(B, 1, attempt=1), trained(C, 1, attempt=1))
    assert driver.actions == (
        Fold(
            round=1,
            reference=manifest(0),
            updates=tuple((node, trained(node, 1).update, ord(node)) for node in (A, B, C)),
        ),
    )
    driver.folds()
    assert driver.state.stage is Stage.FINISHED
    assert driver.records[0].attempt == 1


def test_the_last_attempt_fails_the_experiment() -> None:
    """The waits grow, and there is an end to them."""
    driver = Driver(spec(quorum=3, attempts=8))
    driver.agrees(A, B, C)
    waits = []
    while not driver.state.is_over:
        driver.does(Ticked(), after=DEADLINE_S)
        if driver.state.retry_at is not None:
            waits.append(driver.state.retry_at - driver.now)
            driver.does(Ticked(), after=waits[-1])
    assert waits == [RETRY_S * 2**number for number in range(5)] + [LAST_RETRY_S] * 2
    assert driver.state.stage is Stage.FAILED
    assert driver.state.reason() == (
        "round 1, training: 0 of 3; 3 are needed; no answer from a, b, c"
    )


@pytest.mark.parametrize(("code", "is_refusal"), [("plan_error", False), ("plan_rejected", True)])
def test_what_would_come_again_is_not_tried_again(code: str, *, is_refusal: bool) -> None:
    """The same plan with the same seed breaks in the same way; an operator's no stays."""
    driver = Driver(spec(quorum=3, attempts=3))
    driver.agrees(A, B, C)
    driver.does(fell(B, 1, code=code, is_refusal=is_refusal))
    assert driver.state.stage is Stage.FAILED


def test_an_expired_order_is_given_again() -> None:
    """The node was away; that refuses nothing but this one attempt."""
    driver = Driver(spec(quorum=3, attempts=3))
    driver.agrees(A, B, C)
    driver.does(fell(B, 1, code="expired", is_refusal=True))
    (ask,) = driver.does(Ticked(), after=RETRY_S)
    assert isinstance(ask, AskWork)
    assert ask.nodes == (A, B, C)


def test_the_next_round_begins_with_its_first_attempt() -> None:
    """And the evaluation of a round belongs to the attempt that made its model."""
    driver = Driver(spec(quorum=3, attempts=2))
    driver.agrees(A, B, C)
    driver.does(fell(A, 1))
    driver.does(Ticked(), after=RETRY_S)
    driver.does(*(trained(node, 1, attempt=1) for node in (A, B, C)))
    (ask,) = driver.folds()
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.attempt) == ("evaluate", 1)
    _, ask = driver.does(*(evaluated(node, 1, attempt=1) for node in (A, B, C)))
    assert isinstance(ask, AskWork)
    assert (ask.round, ask.attempt) == (2, 0)


def test_a_paused_experiment_takes_what_is_under_way_and_begins_nothing() -> None:
    """Updates are kept and folded; the evaluation waits for the researcher."""
    driver = Driver()
    driver.agrees(A, B, C)
    driver.trains(A)
    assert driver.does(PauseAsked(), PauseAsked()) == ()
    assert driver.state.shown == PAUSED
    assert driver.state.reason() == "paused by the researcher; 1 of 3; waiting for b, c"
    (fold,) = driver.trains(B, C)
    assert isinstance(fold, Fold)
    assert driver.folds() == ()
    assert driver.does(Ticked(), after=10 * DEADLINE_S) == ()
    assert driver.state.reason() == "paused by the researcher"
    (ask,) = driver.does(ResumeAsked())
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.deadline) == ("evaluate", driver.now + DEADLINE_S)
    assert driver.state.shown == Stage.EVALUATING


def test_a_round_waits_for_the_end_of_a_pause() -> None:
    """The record of the round before is kept at once."""
    driver = Driver(spec(evaluate=False))
    driver.agrees(A, B, C)
    driver.trains(A, B, C)
    driver.does(PauseAsked())
    assert driver.folds() == (Keep(record=driver.records[0]),)
    (ask,) = driver.does(ResumeAsked())
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.round) == ("train", 2)
    assert driver.does(ResumeAsked()) == ()


def test_no_round_begins_without_room_for_it() -> None:
    """What is under way is taken; a pause meanwhile goes on after the room is found."""
    driver = Driver(spec(rounds=3, evaluate=False))
    driver.agrees(A, B, C)
    driver.trains(A, B, C)
    driver.does(RoomLacked(needed_bytes=52_000_000))
    assert driver.folds() == (Keep(record=driver.records[0]),)
    words = "the orchestrator's disk has no room for a round: 52 MB needed"
    assert driver.state.reason() == words
    assert driver.does(PauseAsked()) == ()
    assert driver.state.reason() == f"paused by the researcher; {words}"
    assert driver.does(ResumeAsked()) == ()
    driver.does(PauseAsked())
    assert driver.does(RoomFound()) == ()
    (ask,) = driver.does(ResumeAsked())
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.round, ask.nodes) == ("train", 2, (A, B, C))


def test_a_first_round_without_room_still_needs_its_quorum() -> None:
    """Who leaves while room is waited for is not asked to train."""
    driver = Driver(spec(quorum=3))
    driver.does(RoomLacked(needed_bytes=1))
    assert driver.agrees(A, B, C) == ()
    driver.does(declined(A))
    assert driver.state.stage is Stage.FAILED


def test_no_deadline_passes_during_a_pause() -> None:
    """Who answers meanwhile counts; who did not is asked again, for the order has expired."""
    driver = Driver(spec(attempts=1))
    driver.agrees(A, B, C)
    driver.does(PauseAsked())
    driver.does(Ticked(), after=DEADLINE_S)
    driver.trains(A)
    assert driver.state.trained.keys() == {A}
    (ask,) = driver.does(ResumeAsked())
    assert isinstance(ask, AskWork)
    assert (ask.nodes, ask.attempt) == ((B, C), 1)


def test_a_short_pause_asks_nobody_again() -> None:
    """What the nodes have in hand is still wanted."""
    driver = Driver()
    driver.agrees(A, B, C)
    assert driver.does(PauseAsked(), ResumeAsked()) == ()
    assert driver.state.attempt == 0


def test_a_pause_before_the_first_round_lets_nodes_join() -> None:
    """And the first round begins when it is over."""
    driver = Driver()
    driver.does(PauseAsked())
    assert driver.agrees(A, B, C) == ()
    (ask,) = driver.does(ResumeAsked())
    assert isinstance(ask, AskWork)
    assert ask.nodes == (A, B, C)


def test_a_paused_experiment_can_be_stopped() -> None:
    """Pausing takes nothing away."""
    driver = Driver()
    driver.agrees(A, B, C)
    driver.does(PauseAsked(), StopAsked())
    assert driver.state.shown == Stage.STOPPED
    assert driver.state.reason() == "stopped by the researcher"


@pytest.mark.parametrize("late", LateUpdates)
def test_a_late_update_is_noted_once_and_makes_no_model(late: LateUpdates) -> None:
    """Kept as a file only where the experiment asks for it; the experiment finishes short."""
    driver = Driver(spec(rounds=2, evaluate=False, late=late))
    driver.agrees(A, B, C)
    driver.trains(A, B)
    driver.does(Ticked(), after=DEADLINE_S)
    kept = (
        ()
        if late is LateUpdates.DROP
        else (KeepLate(round=1, node=C, update=trained(C, 1).update),)
    )
    assert driver.trains(C) == kept
    driver.folds()
    before = driver.state
    assert driver.does(trained(C, 1)) == ()
    assert driver.state == before
    assert [(one.node, one.round, one.num_cases) for one in driver.state.late] == [(C, 1, ord(C))]
    driver.trains(A, B, C)
    driver.folds()
    assert driver.state.stage is Stage.FINISHED_SHORT
    assert driver.state.reason() == "c missed round 1"


def test_an_update_of_a_round_that_closed_long_ago_is_late_too() -> None:
    """But one of a node that made its update then is a repetition."""
    driver = Driver(spec(rounds=3, evaluate=False))
    driver.agrees(A, B, C)
    driver.trains(A, B)
    driver.does(Ticked(), after=DEADLINE_S)
    driver.folds()
    driver.does(trained(A, 1), trained(C, 1), trained(C, 1), trained(Z, 1))
    assert [(one.node, one.round) for one in driver.state.late] == [(C, 1)]


attempts_drawn = st.integers(0, 1)
events_drawn: st.SearchStrategy[Event] = st.one_of(
    st.builds(Heard, node=nodes_drawn),
    st.builds(Agreed, node=nodes_drawn),
    st.builds(declined, nodes_drawn, is_final=st.booleans()),
    st.builds(trained, nodes_drawn, rounds_drawn, attempts_drawn),
    st.builds(evaluated, nodes_drawn, rounds_drawn, attempts_drawn),
    st.builds(
        fell,
        nodes_drawn,
        rounds_drawn,
        st.sampled_from(["train", "evaluate"]),
        code=st.sampled_from(["out_of_memory", "plan_error"]),
        attempt=attempts_drawn,
    ),
    st.builds(
        deferred,
        nodes_drawn,
        rounds_drawn,
        st.sampled_from(["train", "evaluate"]),
        until=st.none() | st.floats(0.0, 500.0),
        attempt=attempts_drawn,
    ),
    st.builds(lambda number: Folded(model=manifest(number)), rounds_drawn),
    st.builds(FoldFailed, why=st.just("broken")),
    st.sampled_from([PauseAsked(), ResumeAsked(), ResumeAsked()]),
    st.sampled_from([RoomLacked(needed_bytes=1), RoomFound(), RoomFound()]),
    st.just(StopAsked()),
    st.just(Ticked()),
)


class Anything(RuleBasedStateMachine):
    """Events in any order, with what would come in order mixed in, so that it gets far."""

    state: Experiment

    @initialize(
        is_open=st.booleans(),
        quorum=st.integers(1, 3),
        rounds=st.integers(1, 3),
        evaluate=st.booleans(),
        attempts=st.integers(1, 3),
    )
    def begins(
        self, *, is_open: bool, quorum: int, rounds: int, evaluate: bool, attempts: int
    ) -> None:
        """Begin one of all kinds of experiments."""
        self.spec = spec(
            nodes=() if is_open else (A, B, C),
            quorum=quorum,
            rounds=rounds,
            evaluate=evaluate,
            attempts=attempts,
        )
        self.now = 0.0
        self.state, _ = begin(self.spec, manifest(0), now=0.0)
        self.log: list[tuple[float, str]] = []
        self.records: list[RoundRecord] = []
        self.asked_to_train: dict[int, set[NodeId]] = {}

    def advance(self, event: Event, after: float) -> None:
        """Advance as the service does; hold what must be true of every step."""
        self.now += after
        before = self.state
        state, actions = advance(before, event, now=self.now)
        if before.is_over:
            assert (state, actions) == (before, ())
        if state == before and not actions:
            return
        self.log.append((self.now, EVENT.dump_json(event).decode()))
        self.state = state
        assert state.round - before.round in {0, 1}
        self.records += [one.record for one in actions if isinstance(one, Keep)]
        assert max(0, state.round - 1) <= len(self.records) <= state.round
        for action in actions:
            if isinstance(action, AskWork):
                is_new = action.leg == "train" and not action.attempt
                assert not (is_new and self.state.lacking_bytes)
                assert before.paused_at is None or isinstance(event, ResumeAsked)
                # Nobody is asked again for what is here.
                assert action.nodes
                assert not set(action.nodes) & state.trained.keys() or action.leg == "evaluate"
                assert not set(action.nodes) & state.evaluated.keys()
            if isinstance(action, AskWork) and action.leg == "train" and not action.attempt:
                self.asked_to_train[action.round] = set(action.nodes)
        assert any(isinstance(one, Announce) for one in actions) == state.stage.is_over

    @rule(event=events_drawn, after=st.sampled_from([0.0, 1.0, 40.0, 150.0]))
    def anything(self, event: Event, after: float) -> None:
        """Let anything happen."""
        self.advance(event, after)

    @rule(node=nodes_drawn, twice=st.booleans())
    def something_fitting(self, node: NodeId, *, twice: bool) -> None:
        """Let happen what the stage waits for."""
        number, attempt = self.state.round, self.state.attempt
        fitting: dict[Stage, list[Event]] = {
            Stage.PREPARING: [Heard(node=node), Agreed(node=node)],
            Stage.TRAINING: [trained(node, number, attempt)],
            Stage.FOLDING: [Folded(model=manifest(number))],
            Stage.EVALUATING: [evaluated(node, number, attempt)],
        }
        for event in fitting.get(self.state.stage, []):
            for _ in range(1 + twice):
                self.advance(event, 1.0)

    @invariant()
    def a_replay_of_the_log_gives_an_equal_state(self) -> None:
        """From the JSON of the events that changed something."""
        state, _ = begin(self.spec, manifest(0), now=0.0)
        for now, text in self.log:
            state, _ = advance(state, EVENT.validate_json(text), now=now)
        assert state == self.state

    @invariant()
    def no_more_nodes_updated_than_were_asked(self) -> None:
        """In the round under way and in every record; each record has a quorum."""
        asked = self.asked_to_train.get(self.state.round, set())
        assert self.state.trained.keys() <= asked
        for number, record in enumerate(self.records, start=1):
            updated = {one.node for one in record.outcomes if one.outcome == "updated"}
            assert record.round == number
            assert updated <= self.asked_to_train[number]
            assert {one.node for one in record.outcomes} == self.asked_to_train[number]
            assert len(updated) >= self.spec.quorum
        assert self.state.missed == {
            node: numbers for node in (A, B, C, Z) if (numbers := self.missed_by(node))
        }

    def missed_by(self, node: NodeId) -> tuple[int, ...]:
        """Return the closed rounds in which a node was asked to train, and did not."""
        return tuple(
            record.round
            for record in self.records
            for one in record.outcomes
            if one.node == node and one.outcome != "updated"
        )

    @invariant()
    def it_always_says_what_it_waits_for_or_how_it_ended(self) -> None:
        """But while it folds, and when it finished; paused it says that, too."""
        is_silent = self.state.stage in {Stage.FOLDING, Stage.FINISHED}
        if self.state.paused_at is not None and not self.state.is_over:
            assert self.state.reason().startswith("paused")
        else:
            assert bool(self.state.reason()) != is_silent
        if self.state.stage in {Stage.FINISHED, Stage.FINISHED_SHORT}:
            assert len(self.records) == self.spec.num_rounds


Anything.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnything = Anything.TestCase
