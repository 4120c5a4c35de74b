"""Programs that share a store's folder: one leads, the others wait for their turn."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from fedmq.claims import Lock
from fedmq.errors import LeaseLost
from fedmq.orchestrator.lease import LEASE_S, Verdict
from fedmq.orchestrator.signs import FOLDER, Signs
from fedmq.orchestrator.succession import FORGET_LEASES, Program, Succession
from fedmq.transport.home import LocalHome
from tests.support.clock import FakeClock

NEVER_S = 1e6
"""Tests renew by themselves."""

Make = Callable[..., Succession]


class Time:
    """What the clocks of all programs show."""

    now = 1_000.0


@pytest.fixture
def time() -> Time:
    """Return the time."""
    return Time()


@pytest.fixture
def make(tmp_path: Path, time: Time) -> Make:
    """Return what makes a program by name; locks are of this machine unless told."""

    def make(name: str, machine: str = "m") -> Succession:
        return Succession(
            program=Program(name=name, words=f"process {name}", machine=machine),
            lock=Lock(tmp_path),
            signs=Signs(LocalHome(tmp_path)),
            clock=FakeClock(lambda: time.now),
            renew_s=NEVER_S,
        )

    return make


def test_the_first_leads_and_the_second_takes_over_when_it_ends(make: Make) -> None:
    """At once: the last sign says so, and the lock is free."""
    one = make("one")
    assert one.look() is Verdict.LEAD
    with one.leading():
        two = make("two")
        assert two.look() is Verdict.WAIT
        one.renew()
        assert two.look() is Verdict.LED
        assert two.leader == "process one"
    assert two.look() is Verdict.LEAD


def test_who_sleeps_with_the_lock_loses_the_lease_and_finds_out(make: Make, time: Time) -> None:
    """Its next sign is not given; the other gets the lock when it ends."""
    one = make("one")
    with ExitStack() as asleep:
        assert one.look() is Verdict.LEAD
        asleep.enter_context(one.leading())
        two = make("two")
        assert two.look() is Verdict.WAIT
        time.now += LEASE_S
        assert two.look() is Verdict.LEAD
        with two.leading():
            with pytest.raises(LeaseLost):
                one.require()
            one.renew()
            two.require()
            three = make("three")
            assert three.look() is Verdict.WAIT
            asleep.close()
            # The lock is free for a moment; who has it is not who leads.
            assert three.look() is not Verdict.LEAD
            two.renew()
            assert three.look() is Verdict.LED


def test_locks_of_another_machine_are_not_believed(make: Make, time: Time) -> None:
    """A folder may be mounted where each machine has locks of its own."""
    one = make("one", "a")
    assert one.look() is Verdict.LEAD
    with one.leading():
        two = make("two", "b")
        one._lock.release()
        assert two.look() is Verdict.WAIT
        time.now += LEASE_S - 1
        one.renew()
        assert two.look() is Verdict.LED
        time.now += LEASE_S
        assert two.look() is Verdict.LEAD


def test_who_leads_counts_those_who_stand_by(make: Make, time: Time, tmp_path: Path) -> None:
    """Those that gave a sign lately; who was silent for very long is forgotten."""
    one, two, three = make("one"), make("two"), make("three")
    assert one.look() is Verdict.LEAD
    with one.leading():
        for program in (two, three):
            program.stand_by()
        one.renew()
        assert one.count_stand_bys() == 2
        two.leave()
        one.renew()
        assert one.count_stand_bys() == 1
        time.now += LEASE_S
        one.renew()
        assert one.count_stand_bys() == 0
        assert (tmp_path / FOLDER / "stand-by.three").exists()
        time.now += FORGET_LEASES * LEASE_S
        one.renew()
        assert not (tmp_path / FOLDER / "stand-by.three").exists()
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == ["leader.json"]


def test_a_sign_that_cannot_be_read_is_none(make: Make, tmp_path: Path) -> None:
    """Whoever has the lock leads then."""
    one = make("one")
    (tmp_path / FOLDER / "leader.json").write_text("{")
    assert make("two").look() is Verdict.LEAD
    assert one.leader == "another program"
