"""Rounds: how one begins, goes through its legs, is tried again, and closes. Pure.

    training --leg complete--> folding --model--> evaluating --leg complete--> closed
    training | evaluating --no quorum--> (a while) --> the missing nodes, asked once more

Answers to the newest attempt count, and what was answered to older ones stays: nobody is asked
again for what is here. A leg without a quorum is tried again `max_attempts` times in all, then the
experiment fails.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, assert_never

from fedmq.messages.mandates import LateUpdates
from fedmq.messages.requests import Counted
from fedmq.messages.submissions import LateUpdate, RoundRecord
from fedmq.orchestrator import collection
from fedmq.orchestrator.collection import Answered, Collection, Phase, Verdict, Waits
from fedmq.orchestrator.events import (
    Action,
    Announce,
    AskWork,
    Deferred,
    Evaluated,
    Fell,
    Fold,
    Folded,
    Keep,
    KeepLate,
    Leg,
    Trained,
)
from fedmq.orchestrator.records import UPDATED, make_record
from fedmq.orchestrator.state import Experiment, Stage, keeps
from fedmq.types import NodeId

RETRY_S: Final = 30.0
"""So long after a leg without a quorum its missing nodes are asked again; then twice as long."""
LAST_RETRY_S: Final = 600.0

Step = tuple[Experiment, tuple[Action, ...]]


def begin_round(state: Experiment, now: float) -> Step:
    """Return the next round, its members asked to train.

    Held where the experiment is paused, or where there is no room for the round.
    """
    if state.paused_at is not None or state.lacking_bytes:
        return replace(state, held="round"), ()
    number = state.round + 1
    begun = replace(
        state,
        stage=Stage.TRAINING,
        held="",
        round=number,
        round_began_at=now,
        attempt=0,
        trained={},
        evaluated={},
        train_answers={},
        cohort=state.members,
        leg=_new_leg(state, now),
    )
    # An evaluated model is at the nodes already.
    is_new = number == 1 or not state.spec.evaluate
    return begun, _ask(begun, is_new=is_new)


def num_models_of_round(state: Experiment) -> int:
    """Return how many files as large as the model a round may take before any is removed.

    An update of each member, the model made of them, and one that comes late or again; and the
    model as it travels, where that is another file.
    """
    return len(state.members) + 2 + _num_narrow(state)


def num_models_to_come(state: Experiment) -> int:
    """Return how many files as large as the model the round under way still takes."""
    if state.is_over:
        return 0
    match state.stage:
        case Stage.TRAINING:
            return len(state.cohort - state.trained.keys()) + 1 + _num_narrow(state)
        case Stage.FOLDING:
            return 1 + _num_narrow(state)
        case _:
            return 0


def _num_narrow(state: Experiment) -> int:
    return int(state.spec.narrows_models)


def begins_round(before: Experiment, after: Experiment) -> bool:
    """Return whether a round began between two states."""
    return after.round > before.round


def answer(state: Experiment, event: Trained | Evaluated | Fell | Deferred, now: float) -> Step:
    """Take a node's word on the leg that is under way; of any other leg it changes nothing."""
    if isinstance(event, Trained) and _is_late(state, event):
        return _take_late(state, event)
    leg, said = _read(event)
    is_current = (event.round, event.attempt) == (state.round, state.attempt)
    if state.leg is None or leg != _doing(state) or not is_current:
        return state, ()
    collected = state.leg.advance(said, now=_hour(state, now))
    if event.node in collected.answers and event.node not in state.leg.answers:
        if isinstance(event, Trained):
            state = replace(state, trained={**state.trained, event.node: event})
        elif isinstance(event, Evaluated):
            state = replace(state, evaluated={**state.evaluated, event.node: event})
    return follow(replace(state, leg=collected), now)


def pass_time(state: Experiment, now: float) -> Step:
    """Return what becomes of a round's leg by `now`; nothing while the experiment is paused."""
    if state.leg is None or state.paused_at is not None or _doing(state) is None:
        return state, ()
    if state.retry_at is not None:
        return try_again(state, now) if now >= state.retry_at else (state, ())
    return follow(replace(state, leg=state.leg.advance(collection.Ticked(), now=now)), now)


def follow(state: Experiment, now: float) -> Step:
    """Go on from a leg that is complete or has failed."""
    leg = state.leg
    if leg is None or leg.phase is Phase.COLLECTING or state.retry_at is not None:
        return state, ()
    if leg.phase is Phase.FAILED:
        return _put_off(state, leg, now)
    if state.stage is Stage.TRAINING:
        folding = replace(state, stage=Stage.FOLDING, train_answers=leg.answers)
        return folding, (fold(folding),)
    return _close_round(state, now)


def try_again(state: Experiment, now: float) -> Step:
    """Ask those nodes of a leg once more whose answers are missing or may change."""
    leg = state.leg
    if leg is None:
        return state, ()
    answers = {node: one for node, one in leg.answers.items() if keeps(one)}
    again = replace(
        state,
        attempt=state.attempt + 1,
        retry_at=None,
        leg=replace(_new_leg(state, now), asked=leg.asked, answers=answers),
    )
    return again, _ask(again, is_new=False)


def fold(state: Experiment) -> Fold:
    """Return the order to make the round's model of its updates."""
    return Fold(
        round=state.round,
        reference=state.model,
        updates=tuple(
            (node, state.trained[node].update, state.trained[node].num_cases)
            for node in sorted(state.trained)
        ),
    )


def take_model(state: Experiment, folded: Folded, now: float) -> Step:
    """Return the round with its new model, which is evaluated next, or the round is closed."""
    if state.stage is not Stage.FOLDING:
        return state, ()
    counted = {
        node: Counted(round=one.round, attempt=one.attempt) for node, one in state.trained.items()
    }
    state = replace(
        state,
        model=folded.model,
        sent=folded.sent,
        model_round=state.round,
        stage=Stage.EVALUATING,
        leg=None,
        counted={**state.counted, **counted},
    )
    return begin_evaluation(state, now) if state.spec.evaluate else _close_round(state, now)


def begin_evaluation(state: Experiment, now: float) -> Step:
    """Return the round with its members asked to evaluate; held where the experiment is paused."""
    if state.paused_at is not None:
        return replace(state, held="evaluation"), ()
    evaluating = replace(state, held="", leg=_new_leg(state, now))
    return evaluating, _ask(evaluating, is_new=True)


def end(state: Experiment, stage: Stage, why: str) -> Step:
    """Return the experiment ended, its nodes told."""
    ended = replace(state, stage=stage, why=why)
    return ended, (Announce(nodes=tuple(sorted(state.asked))),)


def _doing(state: Experiment) -> Leg | None:
    match state.stage:
        case Stage.TRAINING:
            return "train"
        case Stage.EVALUATING:
            return "evaluate"
        case _:
            return None


def _new_leg(state: Experiment, now: float) -> Collection:
    return Collection(
        asked=state.members,
        quorum=state.spec.quorum,
        deadline=now + state.spec.round_deadline_s,
    )


def _ask(state: Experiment, *, is_new: bool) -> tuple[Action, ...]:
    """Return the order to ask who is missing; none where all members have withdrawn."""
    leg = state.leg
    if leg is None or not leg.missing:
        return ()
    ask = AskWork(
        leg=_doing(state) or "train",
        nodes=leg.missing,
        round=state.round,
        attempt=state.attempt,
        model=state.travelling,
        deadline=leg.deadline,
        is_new=is_new,
        counted=state.counted if _has_feedback(state) else {},
    )
    return (ask,)


def _has_feedback(state: Experiment) -> bool:
    encoding = state.spec.encoding
    return encoding is not None and encoding.has_feedback


def _read(event: Trained | Evaluated | Fell | Deferred) -> tuple[Leg, Answered | Waits]:
    match event:
        case Trained(node=node):
            return "train", Answered(node=node, verdict=Verdict.YES)
        case Evaluated(node=node):
            return "evaluate", Answered(node=node, verdict=Verdict.YES)
        case Fell(node=node, code=code, is_refusal=is_refusal):
            verdict = Verdict.REFUSED if is_refusal else Verdict.FAILED
            return event.leg, Answered(node=node, verdict=verdict, code=code)
        case Deferred(node=node, code=code, until=until, retry_at=retry_at):
            return event.leg, Waits(node=node, code=code, until=until, retry_at=retry_at)
        case _:
            assert_never(event)


def _hour(state: Experiment, now: float) -> float:
    """Return the time by which an answer is judged: no deadline passes during a pause."""
    return now if state.paused_at is None else min(now, state.paused_at)


def _put_off(state: Experiment, leg: Collection, now: float) -> Step:
    """Plan one more attempt where one may help, else let the experiment fail."""
    lost = sum(one.verdict is not Verdict.YES and keeps(one) for one in leg.answers.values())
    may_help = len(leg.asked) - lost >= leg.quorum
    if may_help and state.attempt + 1 < state.spec.max_attempts:
        wait_s = min(LAST_RETRY_S, RETRY_S * 2**state.attempt)
        return replace(state, retry_at=now + wait_s), ()
    doing = "training" if state.stage is Stage.TRAINING else "evaluating"
    return end(state, Stage.FAILED, f"round {state.round}, {doing}: {leg.reason()}")


def _is_late(state: Experiment, event: Trained) -> bool:
    """Return whether an update was asked for, and its round has gone on without it."""
    if event.round == state.round:
        was_asked = event.node in state.cohort and event.attempt <= state.attempt
        is_missing = event.node not in state.trained
        return was_asked and is_missing and state.stage is not Stage.TRAINING
    known = {(one.node, one.round) for one in state.late}
    is_missed = event.round in state.missed.get(event.node, ())
    return is_missed and (event.node, event.round) not in known


def _take_late(state: Experiment, event: Trained) -> Step:
    """Note an update that is in no model; later kinds of aggregation will fold it here."""
    late = LateUpdate(
        node=event.node,
        round=event.round,
        attempt=event.attempt,
        num_cases=event.num_cases,
        update=event.update.digest,
    )
    if late in state.late:
        return state, ()
    noted = replace(state, late=(*state.late, late))
    if state.spec.late_updates is LateUpdates.DROP:
        return noted, ()
    return noted, (KeepLate(round=event.round, node=event.node, update=event.update),)


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
    closed = replace(state, missed=_add_missed(state.missed, record), leg=None)
    keep = Keep(record=record)
    if state.round < state.spec.num_rounds:
        ended, actions = begin_round(closed, now)
    else:
        stage, why = _final_word(closed)
        ended, actions = end(closed, stage, why)
    return ended, (keep, *actions)


def _add_missed(
    missed: Mapping[NodeId, tuple[int, ...]], record: RoundRecord
) -> dict[NodeId, tuple[int, ...]]:
    """Return who missed which rounds, after one more."""
    short = [NodeId(one.node) for one in record.outcomes if one.outcome != UPDATED]
    return {**missed, **{node: (*missed.get(node, ()), record.round) for node in short}}


def _final_word(state: Experiment) -> tuple[Stage, str]:
    """Return how an experiment finished: with all that were asked in every round, or short."""
    if not state.missed:
        return Stage.FINISHED, ""
    parts = [f"{node} missed {_rounds(numbers)}" for node, numbers in sorted(state.missed.items())]
    return Stage.FINISHED_SHORT, "; ".join(parts)


def _rounds(numbers: Sequence[int]) -> str:
    """Return round numbers in words: `round 3`, `5 rounds from 3 to 9`."""
    if len(numbers) == 1:
        return f"round {numbers[0]}"
    return f"{len(numbers)} rounds from {numbers[0]} to {numbers[-1]}"
