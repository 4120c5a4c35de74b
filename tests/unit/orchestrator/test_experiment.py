"""An experiment: its stages, and what it promises whatever happens in whatever order."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fedmq.messages.fields import Manifest, PlanReference, RatioField
from fedmq.messages.submissions import ExperimentSpec
from fedmq.orchestrator.events import (
    EVENT,
    Action,
    Agreed,
    Announce,
    AskPrepare,
    AskWork,
    Declined,
    Evaluated,
    Event,
    Fell,
    Fold,
    Folded,
    FoldFailed,
    Heard,
    Keep,
    Leg,
    StopAsked,
    Ticked,
    Trained,
)
from fedmq.orchestrator.experiment import GRACE_S, Experiment, Stage, begin
from fedmq.types import Digest, NodeId

A, B, C, Z = (NodeId(name) for name in ("a", "b", "c", "z"))
DEADLINE_S = 100.0
WAITING_S = 1_000.0


def manifest(number: int) -> Manifest:
    """Return the manifest of a payload, known by its number."""
    return Manifest(digest=Digest(f"{number:064x}"), size_bytes=1, chunk_bytes=1)


def spec(
    *,
    nodes: tuple[NodeId, ...] = (A, B, C),
    quorum: int = 2,
    rounds: int = 2,
    evaluate: bool = True,
    waiting_s: float = WAITING_S,
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
        evaluate=evaluate,
    )


class Driver:
    """An experiment with its actions kept, and time going on by itself."""

    def __init__(self, one: ExperimentSpec | None = None) -> None:
        self.now = 0.0
        self.state, self.actions = begin(one or spec(), manifest(0), now=self.now)

    def does(self, *events: Event, after: float = 1.0) -> tuple[Action, ...]:
        """Advance by each event; return the actions of the last one."""
        for event in events:
            self.now += after
            self.state, self.actions = self.state.advance(event, now=self.now)
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


def fell(node: NodeId, number: int, leg: Leg = "train", *, code: str = "out_of_memory") -> Fell:
    """Return a node's failure in a leg."""
    return Fell(node=node, round=number, attempt=0, leg=leg, code=code, is_refusal=False)


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
        case Stage.FINISHED:
            driver = Driver(spec(rounds=1, evaluate=False))
            driver.agrees(A, B, C)
            driver.trains(A, B, C)
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
    assert keep == Keep(round=1)
    assert isinstance(ask, AskWork)
    assert (ask.leg, ask.model, ask.is_new, ask.round) == ("train", manifest(1), False, 2)
    driver.trains(A, B, C)
    driver.folds()
    assert driver.evaluates(A, B, C) == (Keep(round=2), Announce(nodes=(A, B, C)))
    assert driver.state.stage is Stage.FINISHED
    assert driver.state.reason() == ""
    assert [record.model for record in driver.state.records] == [
        manifest(1).digest,
        manifest(2).digest,
    ]


def test_without_evaluation_a_round_closes_with_its_model() -> None:
    """And the next one sends the model, which nobody has."""
    driver = Driver(spec(evaluate=False))
    driver.agrees(A, B, C)
    driver.trains(A, B, C)
    keep, ask = driver.folds()
    assert keep == Keep(round=1)
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
    outcomes = driver.state.records[0].outcomes
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
    assert driver.state.stage is Stage.FINISHED
    assert [one.outcome for one in driver.state.records[0].outcomes] == [
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
    assert [one.node for one in driver.state.records[0].outcomes] == [A, B]


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


def test_only_a_fold_that_was_cut_off_is_done_again() -> None:
    """All else is in the outbox."""
    assert at(Stage.FOLDING).state.resume() == at(Stage.FOLDING).actions
    for stage in set(Stage) - {Stage.FOLDING}:
        assert at(stage).state.resume() == ()


nodes_drawn = st.sampled_from([A, B, C, Z])
rounds_drawn = st.integers(0, 4)
attempts_drawn = st.integers(0, 1)
events_drawn: st.SearchStrategy[Event] = st.one_of(
    st.builds(Heard, node=nodes_drawn),
    st.builds(Agreed, node=nodes_drawn),
    st.builds(declined, nodes_drawn, is_final=st.booleans()),
    st.builds(trained, nodes_drawn, rounds_drawn, attempts_drawn),
    st.builds(evaluated, nodes_drawn, rounds_drawn, attempts_drawn),
    st.builds(fell, nodes_drawn, rounds_drawn, st.sampled_from(["train", "evaluate"])),
    st.builds(lambda number: Folded(model=manifest(number)), rounds_drawn),
    st.builds(FoldFailed, why=st.just("broken")),
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
    )
    def begins(self, *, is_open: bool, quorum: int, rounds: int, evaluate: bool) -> None:
        """Begin one of all kinds of experiments."""
        self.spec = spec(
            nodes=() if is_open else (A, B, C), quorum=quorum, rounds=rounds, evaluate=evaluate
        )
        self.now = 0.0
        self.state, _ = begin(self.spec, manifest(0), now=0.0)
        self.log: list[tuple[float, str]] = []
        self.asked_to_train: dict[int, set[NodeId]] = {}

    def advance(self, event: Event, after: float) -> None:
        """Advance as the service does; hold what must be true of every step."""
        self.now += after
        before = self.state
        state, actions = before.advance(event, now=self.now)
        if before.stage.is_over:
            assert (state, actions) == (before, ())
        if state == before and not actions:
            return
        self.log.append((self.now, EVENT.dump_json(event).decode()))
        self.state = state
        assert state.records[: len(before.records)] == before.records
        assert state.round - before.round in {0, 1}
        assert [one for one in actions if isinstance(one, Keep)] == [
            Keep(round=record.round) for record in state.records[len(before.records) :]
        ]
        for action in actions:
            if isinstance(action, AskWork) and action.leg == "train":
                self.asked_to_train[action.round] = set(action.nodes)
        assert any(isinstance(one, Announce) for one in actions) == state.stage.is_over

    @rule(event=events_drawn, after=st.sampled_from([0.0, 1.0, 40.0, 150.0]))
    def anything(self, event: Event, after: float) -> None:
        """Let anything happen."""
        self.advance(event, after)

    @rule(node=nodes_drawn, twice=st.booleans())
    def something_fitting(self, node: NodeId, *, twice: bool) -> None:
        """Let happen what the stage waits for."""
        number = self.state.round
        fitting: dict[Stage, list[Event]] = {
            Stage.PREPARING: [Heard(node=node), Agreed(node=node)],
            Stage.TRAINING: [trained(node, number)],
            Stage.FOLDING: [Folded(model=manifest(number))],
            Stage.EVALUATING: [evaluated(node, number)],
        }
        for event in fitting.get(self.state.stage, []):
            for _ in range(1 + twice):
                self.advance(event, 1.0)

    @invariant()
    def a_replay_of_the_log_gives_an_equal_state(self) -> None:
        """From the JSON of the events that changed something."""
        state, _ = begin(self.spec, manifest(0), now=0.0)
        for now, text in self.log:
            state, _ = state.advance(EVENT.validate_json(text), now=now)
        assert state == self.state

    @invariant()
    def no_more_nodes_updated_than_were_asked(self) -> None:
        """In the round under way and in every record; each record has a quorum."""
        asked = self.asked_to_train.get(self.state.round, set())
        assert self.state.trained.keys() <= asked
        for number, record in enumerate(self.state.records, start=1):
            updated = {one.node for one in record.outcomes if one.outcome == "updated"}
            assert record.round == number
            assert updated <= self.asked_to_train[number]
            assert {one.node for one in record.outcomes} == self.asked_to_train[number]
            assert len(updated) >= self.spec.quorum

    @invariant()
    def it_always_says_what_it_waits_for_or_how_it_ended(self) -> None:
        """But while it folds, and when it finished."""
        silent = {Stage.FOLDING, Stage.FINISHED}
        assert bool(self.state.reason()) != (self.state.stage in silent)
        if self.state.stage is Stage.FINISHED:
            assert len(self.state.records) == self.spec.num_rounds


Anything.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnything = Anything.TestCase
