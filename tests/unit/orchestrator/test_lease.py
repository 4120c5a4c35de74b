"""When a program may take over: a decision on signs, with clocks as arguments."""

import pytest

from fedmq.orchestrator.lease import Sign, Verdict, Watched, decide

LEASE_S = 15.0
HERE, THERE = "boot-1", "boot-2"


def sign(
    number: int = 1, *, machine: str = HERE, has_lock: bool = True, has_ended: bool = False
) -> Sign:
    """Return a sign of the program that leads."""
    return Sign(
        program="a",
        words="process 1 on a",
        machine=machine,
        number=number,
        at=0.0,
        has_lock=has_lock,
        has_ended=has_ended,
    )


def verdict(watched: Watched, *, now: float, has_lock: bool) -> Verdict:
    """Return what a program on this machine may do."""
    return decide(watched, has_lock=has_lock, machine=HERE, now=now, lease_s=LEASE_S)


@pytest.mark.parametrize(
    ("last", "has_lock", "expected"),
    [
        # Nobody has led here; without the lock somebody is about to.
        (None, True, Verdict.LEAD),
        (None, False, Verdict.WAIT),
        # The kernel took the lock from it: dead.
        (sign(), True, Verdict.LEAD),
        # It sleeps, or lives: nobody knows yet.
        (sign(), False, Verdict.WAIT),
        # Locks of another machine, or of this one before its start, say nothing here.
        (sign(machine=THERE), True, Verdict.WAIT),
        # It took over from one that slept with the lock, and has none.
        (sign(has_lock=False), True, Verdict.WAIT),
        # It ended by itself; whoever is first begins.
        (sign(has_ended=True, machine=THERE), True, Verdict.LEAD),
        (sign(has_ended=True), False, Verdict.WAIT),
    ],
)
def test_at_first_sight(last: Sign | None, *, has_lock: bool, expected: Verdict) -> None:
    """What can be said at once, and what cannot."""
    assert verdict(Watched(last, 100.0), now=100.0, has_lock=has_lock) is expected


@pytest.mark.parametrize("has_lock", [True, False])
@pytest.mark.parametrize("machine", [HERE, THERE])
def test_a_sign_that_stays_the_same_ends_the_lease(machine: str, *, has_lock: bool) -> None:
    """Counted from when it was seen first, by the clock of who watches."""
    watched = Watched(sign(machine=machine, has_lock=False), 100.0)
    for now in (100.0, 107.0, 114.9):
        watched = watched.seen(sign(machine=machine, has_lock=False), now=now)
        assert verdict(watched, now=now, has_lock=has_lock) is Verdict.WAIT
    assert verdict(watched, now=115.0, has_lock=has_lock) is Verdict.LEAD


def test_each_new_sign_begins_the_lease_anew_and_says_that_somebody_leads() -> None:
    """Whatever time it tells: no two clocks are compared."""
    watched = Watched(sign(1, machine=THERE), 0.0)
    for number in range(2, 9):
        now = number * 14.0
        watched = watched.seen(sign(number, machine=THERE), now=now)
        assert verdict(watched, now=now, has_lock=True) is Verdict.LED
    assert verdict(watched, now=now + LEASE_S, has_lock=False) is Verdict.LEAD


def test_a_stand_by_counts_for_as_long_as_it_gives_signs() -> None:
    """And not once it has ended."""
    watched = Watched(None, 0.0).seen(sign(1), now=5.0)
    assert watched.is_fresh(now=19.9)
    assert not watched.is_fresh(now=20.0)
    assert not watched.seen(sign(2, has_ended=True), now=6.0).is_fresh(now=6.0)
