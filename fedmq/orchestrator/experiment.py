"""An experiment as a pure state machine: the events of its log in, its next steps out.

    preparing --quorum of nodes agreed--> rounds, one after the other --> finished
    paused: what is under way is taken, nothing new begins
    no room on the disk for a round: the same until there is

Rules. Who answers late, twice, or for an older round or attempt makes no model. A leg that cannot
reach the quorum is tried again, then fails the experiment, with the reason. A node that agrees
later takes part from the next round on. What the log holds decides everything: replayed, it gives
the same state. The life of a round is in `rounds`.
"""

from dataclasses import replace
from typing import Final, assert_never

from fedmq.messages.fields import Manifest
from fedmq.messages.mandates import ExperimentSpec
from fedmq.orchestrator import rounds
from fedmq.orchestrator.collection import Phase
from fedmq.orchestrator.events import (
    Action,
    Agreed,
    AskPrepare,
    Declined,
    Deferred,
    Evaluated,
    Event,
    Fell,
    Folded,
    FoldFailed,
    Heard,
    PauseAsked,
    ResumeAsked,
    RoomFound,
    RoomLacked,
    StopAsked,
    Ticked,
    Trained,
)
from fedmq.orchestrator.rounds import Step
from fedmq.orchestrator.state import Experiment, Stage, waiting_reason
from fedmq.types import NodeId

GRACE_S: Final = 30.0
"""So long a quorum waits for the other nodes that were asked, before the first round."""


def begin(spec: ExperimentSpec, initial: Manifest, *, now: float) -> Step:
    """Return a new experiment; the nodes that its spec names are asked."""
    state = Experiment(spec=spec, model=initial, began_at=now)
    nodes = tuple(NodeId(node) for node in sorted(set(spec.nodes)))
    asked = replace(state, asked=frozenset(nodes))
    return asked, tuple(AskPrepare(node=node) for node in nodes)


def advance(  # noqa: C901, PLR0911, PLR0912 - one return for each kind of event
    state: Experiment, event: Event, *, now: float
) -> Step:
    """Return the state after `event`, and what is to be done."""
    if state.is_over:
        return state, ()
    match event:
        case Heard(node=node):
            return _hear(state, node)
        case Agreed(node=node):
            return _agree(state, node, now)
        case Declined():
            return _decline(state, event, now)
        case Trained() | Evaluated() | Fell() | Deferred():
            return rounds.answer(state, event, now)
        case Folded():
            return rounds.take_model(state, event, now)
        case FoldFailed(why=why):
            is_folding = state.stage is Stage.FOLDING
            return rounds.end(state, Stage.FAILED, why) if is_folding else (state, ())
        case StopAsked():
            return rounds.end(state, Stage.STOPPED, "stopped by the researcher")
        case PauseAsked():
            return (state if state.paused_at is not None else replace(state, paused_at=now)), ()
        case ResumeAsked():
            return _resume(state, now)
        case RoomLacked(needed_bytes=needed_bytes):
            return replace(state, lacking_bytes=needed_bytes), ()
        case RoomFound():
            return _go_on(replace(state, lacking_bytes=0), now)
        case Ticked():
            return _tick(state, now)
        case _:
            assert_never(event)


def undone(state: Experiment) -> tuple[Action, ...]:
    """Return what has to be done again after a replay; everything else is in the outbox."""
    return (rounds.fold(state),) if state.stage is Stage.FOLDING else ()


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
    # A node that agreed does not wait any more: that word was sent before, and came late.
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
    if state.stage is not Stage.PREPARING or state.paused_at is not None:
        return state, ()
    quorum = state.spec.quorum
    silent = state.asked - state.members - state.declined.keys()
    if len(state.members) >= quorum:
        if state.quorum_at is None:
            state = replace(state, quorum_at=now)
        since = now if state.quorum_at is None else state.quorum_at
        is_ready = not silent or now >= since + GRACE_S
        return rounds.begin_round(state, now) if is_ready else (state, ())
    final = {node for node, one in state.declined.items() if one.is_final}
    if state.spec.nodes and len(state.asked - final) < quorum:
        return rounds.end(state, Stage.FAILED, waiting_reason(state))
    return state, ()


def _resume(state: Experiment, now: float) -> Step:
    if state.paused_at is None:
        return state, ()
    state = replace(state, paused_at=None)
    if state.held or state.stage is Stage.PREPARING:
        return _go_on(state, now)
    leg = state.leg
    if leg is not None and leg.phase is Phase.COLLECTING and now >= leg.deadline:
        # The deadline passed during the pause, at the nodes too.
        return rounds.try_again(state, now)
    return state, ()


def _go_on(state: Experiment, now: float) -> Step:
    """Begin what was held, unless something else holds it still."""
    if state.stage is Stage.PREPARING:
        # Members may have left meanwhile.
        return _begin_if_ready(replace(state, held=""), now)
    match state.held:
        case "round":
            return rounds.begin_round(state, now)
        case "evaluation":
            return rounds.begin_evaluation(state, now)
        case _:
            return state, ()


def _tick(state: Experiment, now: float) -> Step:
    if state.stage is not Stage.PREPARING:
        return rounds.pass_time(state, now)
    if state.paused_at is not None:
        return state, ()
    if now < state.began_at + state.spec.waiting_deadline_s:
        return _begin_if_ready(state, now)
    if len(state.members) >= state.spec.quorum:
        return rounds.begin_round(state, now)
    why = "not enough nodes in time: " + waiting_reason(state)
    return rounds.end(state, Stage.FAILED, why)
