"""A leg of a round: quorum, deadline, and answers in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmq.orchestrator.collection import (
    Answered,
    Collection,
    Event,
    Phase,
    Ticked,
    Verdict,
    Waits,
)
from fedmq.types import NodeId

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
YES, NO, BROKE = Verdict.YES, Verdict.REFUSED, Verdict.FAILED


def a_leg(quorum: int = 2) -> Collection:
    """Return a leg that asks three nodes until the tenth second."""
    return Collection(asked=frozenset({A, B, C}), quorum=quorum, deadline=10.0)


def says(node: NodeId, verdict: Verdict = YES, code: str = "") -> Answered:
    """Return an answer."""
    return Answered(node=node, verdict=verdict, code=code)


def waits(node: NodeId, until: float | None = None) -> Waits:
    """Return the word of a node that answers later."""
    return Waits(node=node, code="out_of_hours", until=until, retry_at=until)


@pytest.mark.parametrize(
    ("events", "phase"),
    [
        # A quorum does not wait for who comes too late, or nobody knows when.
        ([(1, says(A)), (2, says(B)), (3, waits(C))], Phase.COMPLETE),
        ([(1, waits(C, 10)), (2, says(B)), (3, says(A))], Phase.COMPLETE),
        ([(1, waits(C, 9)), (2, says(B)), (3, says(A))], Phase.COLLECTING),
        ([(1, waits(C, 9)), (2, says(B)), (3, says(A)), (9, says(C))], Phase.COMPLETE),
        ([(1, waits(C, 9)), (2, says(B)), (3, says(A)), (10, Ticked())], Phase.COMPLETE),
        # The newest word counts, and none that comes behind the answer.
        ([(1, waits(C, 9)), (2, says(B)), (3, says(A)), (4, waits(C))], Phase.COMPLETE),
        ([(1, says(A)), (2, waits(A)), (3, says(B)), (4, Ticked())], Phase.COLLECTING),
        # Where a quorum needs them, it waits for all of them until the deadline.
        ([(1, waits(C)), (2, waits(B, 99)), (3, says(A))], Phase.COLLECTING),
        ([(1, waits(C)), (2, waits(B, 99)), (3, says(A)), (9, says(C))], Phase.COMPLETE),
        ([(1, waits(C)), (2, waits(B)), (3, waits(A)), (10, Ticked())], Phase.FAILED),
        ([(1, waits(C)), (2, says(B, NO)), (3, says(A, NO))], Phase.FAILED),
        ([(1, waits(NodeId("z"))), (2, says(A)), (3, says(B))], Phase.COLLECTING),
        ([(1, says(A)), (2, says(B))], Phase.COLLECTING),
        ([(1, says(A)), (2, says(B)), (3, says(C))], Phase.COMPLETE),
        ([(1, says(A)), (2, says(B)), (3, says(C, NO))], Phase.COMPLETE),
        ([(1, says(A)), (2, says(B, NO)), (3, says(C, BROKE))], Phase.FAILED),
        ([(1, says(A, NO)), (2, says(B, NO))], Phase.FAILED),
        ([(1, says(A)), (2, says(B)), (10, Ticked())], Phase.COMPLETE),
        ([(1, says(A)), (10, Ticked())], Phase.FAILED),
        ([(1, says(A)), (9.9, Ticked())], Phase.COLLECTING),
        ([(1, says(A)), (2, says(A)), (3, says(A))], Phase.COLLECTING),
        ([(1, says(A)), (2, says(NodeId("z"))), (10, Ticked())], Phase.FAILED),
        ([(1, says(A)), (10, says(B))], Phase.FAILED),
    ],
)
def test_a_leg_goes_where_the_table_says(events: list[tuple[float, Event]], phase: Phase) -> None:
    """Each row: what happens at which second, and where the leg stands after it."""
    leg = a_leg()
    for now, event in events:
        leg = leg.advance(event, now=now)
    assert leg.phase is phase


def test_the_reason_names_who_is_waited_for_and_who_refused() -> None:
    """What an operator reads while a round waits."""
    leg = a_leg().advance(says(A), now=1).advance(says(C, NO, "plan_rejected"), now=2)
    assert leg.reason() == "1 of 3; waiting for b; c refused: plan_rejected"


def test_the_reason_of_a_failed_leg_says_what_was_needed() -> None:
    """What an operator reads when it is over."""
    leg = a_leg().advance(says(A), now=1).advance(Ticked(), now=10)
    assert leg.reason() == "1 of 3; 2 are needed; no answer from b, c"


def test_who_was_not_waited_for_counts_as_refused_with_its_code() -> None:
    """So the record of the round says why."""
    leg = a_leg().advance(waits(C), now=1).advance(says(A), now=2)
    assert leg.reason() == "1 of 3; waiting for b, c; c waits: out_of_hours"
    done = leg.advance(says(B), now=3)
    assert done.answers[C] == says(C, NO, "out_of_hours")
    assert done.agreed == (A, B)


happenings = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.one_of(
            st.just(Ticked()),
            st.builds(
                Answered,
                node=st.sampled_from([A, B, C, NodeId("z")]),
                verdict=st.sampled_from(Verdict),
            ),
            st.builds(
                waits,
                node=st.sampled_from([A, B, C, NodeId("z")]),
                until=st.none() | st.floats(0, 20),
            ),
        ),
    ),
    max_size=12,
)


@given(happenings, st.integers(1, 3))
def test_whatever_happens_a_leg_keeps_its_promises(
    events: list[tuple[float, Event]], quorum: int
) -> None:
    """Never complete without a quorum, ends absorb, after the deadline never collecting."""
    leg = a_leg(quorum)
    for now, event in sorted(events, key=lambda pair: pair[0]):
        before, leg = leg, leg.advance(event, now=now)
        if before.phase is not Phase.COLLECTING:
            assert leg == before
        if leg.phase is Phase.COMPLETE:
            assert len(leg.agreed) >= quorum
        if now >= leg.deadline:
            assert leg.phase is not Phase.COLLECTING
        assert leg.answers.keys() <= leg.asked


@given(st.permutations([A, B, C]), st.lists(st.sampled_from(Verdict), min_size=3, max_size=3))
def test_the_order_of_answers_does_not_change_the_outcome(
    order: list[NodeId], verdicts: list[Verdict]
) -> None:
    """With every answer in time, phase and agreement depend on who said what alone."""
    says_what = dict(zip([A, B, C], verdicts, strict=True))
    leg, other = a_leg(), a_leg()
    for node in order:
        leg = leg.advance(says(node, says_what[node]), now=1)
    for node in [A, B, C]:
        other = other.advance(says(node, says_what[node]), now=1)
    assert leg.phase is other.phase


class Compared(str):
    """A name that counts how often it is put in order."""

    __slots__ = ()
    num_times = 0

    def __lt__(self, other: str) -> bool:
        """Count, and compare."""
        Compared.num_times += 1
        return super().__lt__(other)


def test_an_answer_puts_no_names_in_order() -> None:
    """Of a thousand answers each is handled: what one costs must not grow much with the others."""
    nodes = [NodeId(Compared(f"n{number}")) for number in range(300)]
    leg = Collection(asked=frozenset(nodes), quorum=200, deadline=10.0)
    for node in nodes[1:]:
        leg = leg.advance(says(node), now=1.0)
    leg = leg.advance(waits(nodes[0], until=9.0), now=2.0).advance(Ticked(), now=3.0)
    assert leg.phase is Phase.COLLECTING
    assert Compared.num_times == 0
