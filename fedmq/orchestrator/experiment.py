"""An experiment as a pure state machine: the events of its log in, its next steps out.

    preparing --quorum of nodes agreed--> training --leg complete--> folding --> evaluating
    evaluating --leg complete--> training (next round) | finished

Rules. Who answers late, twice, or for an older round or attempt changes nothing. A leg that cannot
reach the quorum fails the experiment, with the reason. A node that agrees later takes part from the
next round on. What the log holds decides everything: replayed, it gives the same state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, assert_never

from fedmq.messages.fields import Manifest
from fedmq.messages.submissions import ExperimentSpec, RoundRecord
from fedmq.orchestrator import collection
from fedmq.orchestrator.collection import Answered, Collection, Phase, Verdict
from fedmq.orchestrator.events import (
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
from fedmq.orchestrator.records import make_record
from fedmq.types import NodeId

GRACE_S: Final = 30.0
"""So long a quorum waits for the other nodes that were asked, before the first round."""


class Stage(StrEnum):
    """Where an experiment stands."""

    PREPARING = "preparing"
    TRAINING = "training"
    FOLDING = "folding"
    EVALUATING = "evaluating"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen any more."""
        return self in {Stage.FINISHED, Stage.FAILED, Stage.STOPPED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The state of one experiment."""

    spec: ExperimentSpec
    model: Manifest
    """The newest parameters: of round 0 at first."""
    began_at: float
    stage: Stage = Stage.PREPARING
    why: str = ""
    """Why it failed."""
    asked: frozenset[NodeId] = frozenset()
    members: frozenset[NodeId] = frozenset()
    declined: Mapping[NodeId, Declined] = field(default_factory=dict)
    quorum_at: float | None = None
    """When enough nodes had agreed for the first round."""
    round: int = 0
    round_began_at: float = 0.0
    attempt: int = 0
    leg: Collection | None = None
    cohort: frozenset[NodeId] = frozenset()
    """Who was asked to train in this round."""
    trained: Mapping[NodeId, Trained] = field(default_factory=dict)
    evaluated: Mapping[NodeId, Evaluated] = field(default_factory=dict)
    train_answers: Mapping[NodeId, Answered] = field(default_factory=dict)
    records: tuple[RoundRecord, ...] = ()

    def advance(  # noqa: PLR0911 - one return for each kind of event
        self, event: Event, *, now: float
    ) -> tuple["Experiment", tuple[Action, ...]]:
        """Return the state after `event`, and what is to be done."""
        if self.stage.is_over:
            return self, ()
        match event:
            case Heard(node=node):
                return _hear(self, node)
            case Agreed(node=node):
                return _agree(self, node, now)
            case Declined():
                return _decline(self, event, now)
            case Trained() | Evaluated() | Fell():
                return _answer(self, event, now)
            case Folded(model=model):
                return _take_model(self, model, now)
            case FoldFailed(why=why):
                return _end(self, Stage.FAILED, why) if self.stage is Stage.FOLDING else (self, ())
            case StopAsked():
                return _end(self, Stage.STOPPED, "stopped by the researcher")
            case Ticked():
                return _tick(self, now)
            case _:
                assert_never(event)

    def resume(self) -> tuple[Action, ...]:
        """Return what has to be done again after a replay; everything else is in the outbox."""
        return (_fold(self),) if self.stage is Stage.FOLDING else ()

    def reason(self) -> str:
        """Return in plain words what it waits for, or how it ended."""
        if self.why:
            return self.why
        if self.stage is Stage.PREPARING:
            return _waiting_reason(self)
        if self.leg is not None and self.stage in {Stage.TRAINING, Stage.EVALUATING}:
            return self.leg.reason()
        return ""


Step = tuple[Experiment, tuple[Action, ...]]


def begin(spec: ExperimentSpec, initial: Manifest, *, now: float) -> Step:
    """Return a new experiment; the nodes that its spec names are asked."""
    state = Experiment(spec=spec, model=initial, began_at=now)
    nodes = tuple(NodeId(node) for node in sorted(set(spec.nodes)))
    asked = replace(state, asked=frozenset(nodes))
    return asked, tuple(AskPrepare(node=node) for node in nodes)


def _hear(state: Experiment, node: NodeId) -> Step:
    if state.spec.nodes or node in state.asked:
        return state, ()
    return replace(state, asked=state.asked | {node}), (AskPrepare(node=node),)


def _agree(state: Experiment, node: NodeId, now: float) -> Step:
    if node not in state.asked:
        return state, ()
    declined = {one: why for one, why in state.declined.items() if one != node}
    joined = replace(state, members=state.members | {node}, declined=declined)
    return _begin_if_ready(joined, now)


def _decline(state: Experiment, event: Declined, now: float) -> Step:
    # A node that agreed does not wait for approval: that word was sent before, and came late.
    is_overtaken = event.node in state.members and not event.is_final
    if event.node not in state.asked or is_overtaken:
        return state, ()
    declined = {**state.declined, event.node: event}
    left = replace(state, members=state.members - {event.node}, declined=declined)
    return _begin_if_ready(left, now)


def _begin_if_ready(state: Experiment, now: float) -> Step:
    """Begin the first round once there is a quorum, and the others answered or had their time.

    An experiment that is open to all nodes waits for others where too many of the first refuse.
    """
    if state.stage is not Stage.PREPARING:
        return state, ()
    quorum = state.spec.quorum
    silent = state.asked - state.members - state.declined.keys()
    if len(state.members) >= quorum:
        if state.quorum_at is None:
            state = replace(state, quorum_at=now)
        since = now if state.quorum_at is None else state.quorum_at
        return _begin_round(state, now) if not silent or now >= since + GRACE_S else (state, ())
    final = {node for node, one in state.declined.items() if one.is_final}
    if state.spec.nodes and len(state.asked - final) < quorum:
        return _end(state, Stage.FAILED, _waiting_reason(state))
    return state, ()


def _begin_round(state: Experiment, now: float) -> Step:
    number = state.round + 1
    begun = replace(
        state,
        stage=Stage.TRAINING,
        round=number,
        round_began_at=now,
        trained={},
        evaluated={},
        train_answers={},
        cohort=state.members,
        leg=_leg(state, now),
    )
    # An evaluated model is at the nodes already.
    is_new = number == 1 or not state.spec.evaluate
    return begun, (_ask(begun, "train", is_new=is_new),)


def _leg(state: Experiment, now: float) -> Collection:
    return Collection(
        asked=state.members,
        quorum=state.spec.quorum,
        deadline=now + state.spec.round_deadline_s,
    )


def _ask(state: Experiment, leg: Leg, *, is_new: bool) -> AskWork:
    return AskWork(
        leg=leg,
        nodes=() if state.leg is None else tuple(sorted(state.leg.asked)),
        round=state.round,
        attempt=state.attempt,
        model=state.model,
        deadline=0.0 if state.leg is None else state.leg.deadline,
        is_new=is_new,
    )


def _answer(state: Experiment, event: Trained | Evaluated | Fell, now: float) -> Step:
    """Take a node's word on the leg that is under way; of any other leg it changes nothing."""
    expected = {Stage.TRAINING: "train", Stage.EVALUATING: "evaluate"}.get(state.stage)
    match event:
        case Trained(node=node):
            leg, answer = "train", Answered(node=node, verdict=Verdict.YES)
        case Evaluated(node=node):
            leg, answer = "evaluate", Answered(node=node, verdict=Verdict.YES)
        case Fell(node=node, code=code, is_refusal=is_refusal):
            verdict = Verdict.REFUSED if is_refusal else Verdict.FAILED
            leg, answer = event.leg, Answered(node=node, verdict=verdict, code=code)
        case _:
            assert_never(event)
    is_current = (event.round, event.attempt) == (state.round, state.attempt)
    if state.leg is None or leg != expected or not is_current:
        return state, ()
    collected = state.leg.advance(answer, now=now)
    if node in collected.answers and node not in state.leg.answers:
        if isinstance(event, Trained):
            state = replace(state, trained={**state.trained, node: event})
        elif isinstance(event, Evaluated):
            state = replace(state, evaluated={**state.evaluated, node: event})
    return _follow(replace(state, leg=collected), now)


def _tick(state: Experiment, now: float) -> Step:
    if state.stage is Stage.PREPARING:
        if now < state.began_at + state.spec.waiting_deadline_s:
            return _begin_if_ready(state, now)
        if len(state.members) >= state.spec.quorum:
            return _begin_round(state, now)
        return _end(state, Stage.FAILED, "not enough nodes in time: " + _waiting_reason(state))
    if state.leg is None or state.stage is Stage.FOLDING:
        return state, ()
    return _follow(replace(state, leg=state.leg.advance(collection.Ticked(), now=now)), now)


def _follow(state: Experiment, now: float) -> Step:
    """Go on from a leg that is complete or has failed."""
    leg = state.leg
    if leg is None or leg.phase is Phase.COLLECTING:
        return state, ()
    if leg.phase is Phase.FAILED:
        doing = "training" if state.stage is Stage.TRAINING else "evaluating"
        return _end(state, Stage.FAILED, f"round {state.round}, {doing}: {leg.reason()}")
    if state.stage is Stage.TRAINING:
        folding = replace(state, stage=Stage.FOLDING, train_answers=leg.answers)
        return folding, (_fold(folding),)
    return _close_round(state, now)


def _fold(state: Experiment) -> Fold:
    return Fold(
        round=state.round,
        reference=state.model,
        updates=tuple(
            (node, state.trained[node].update, state.trained[node].num_cases)
            for node in sorted(state.trained)
        ),
    )


def _take_model(state: Experiment, model: Manifest, now: float) -> Step:
    if state.stage is not Stage.FOLDING:
        return state, ()
    state = replace(state, model=model)
    if not state.spec.evaluate:
        return _close_round(state, now)
    evaluating = replace(state, stage=Stage.EVALUATING, leg=_leg(state, now))
    return evaluating, (_ask(evaluating, "evaluate", is_new=True),)


def _close_round(state: Experiment, now: float) -> Step:
    record = make_record(
        round_number=state.round,
        attempt=state.attempt,
        model=state.model.digest,
        answers=state.train_answers,
        trained=state.trained,
        evaluated=state.evaluated,
        cohort=state.cohort,
        duration_s=now - state.round_began_at,
    )
    closed = replace(state, records=(*state.records, record))
    keep = Keep(round=state.round)
    if state.round >= state.spec.num_rounds:
        ended, actions = _end(closed, Stage.FINISHED, "")
    else:
        ended, actions = _begin_round(closed, now)
    return ended, (keep, *actions)


def _end(state: Experiment, stage: Stage, why: str) -> Step:
    ended = replace(state, stage=stage, why=why)
    return ended, (Announce(nodes=tuple(sorted(state.asked))),)


def _waiting_reason(state: Experiment) -> str:
    silent = sorted(state.asked - state.members - state.declined.keys())
    parts = [f"{len(state.members)} of at least {state.spec.quorum} nodes take part"]
    if silent:
        parts.append("no answer yet from " + ", ".join(silent))
    parts.extend(f"{node}: {one.code}" for node, one in sorted(state.declined.items()))
    return "; ".join(parts)
