"""Crashes at named steps: each kills where it is aimed, and the models stay the same."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from fedmq.encodings.kinds import Encoding, Kind
from fedmq.logs import silence
from fedmq.simulation.aim import Aim, Moment, Target
from fedmq.simulation.disk import SimulatedDisk
from fedmq.simulation.encodings_by_hand import Travel
from fedmq.simulation.sweep import Aftermath, Blow, blows, strike

LATE_STEP = 60
"""Of the orchestrator, when the first round's model is there."""
SHARE_ENCODED = 7
SHARE = 23
"""Of so many blows one is tried here; `./run bench simulation --sweep` tries all."""


@pytest.fixture
def undisturbed() -> Aftermath:
    """Return the run in which nothing happens."""
    silence()
    return strike(None)


def failing(tried: Sequence[Blow], undisturbed: Aftermath) -> list[Aftermath]:
    """Return what became of those that did not come through."""
    wanted = replace(undisturbed, was_struck=True)
    return [
        after
        for after in map(strike, tried)
        if replace(after, blow=None, num_steps=undisturbed.num_steps) != wanted
    ]


def test_a_crash_at_any_durable_step_leaves_the_models_as_they_were(
    undisturbed: Aftermath,
) -> None:
    """Before and after a sync or a commit, with what was not synced lost or torn."""
    tried = list(blows(undisturbed))[::SHARE]
    assert {blow.target.machine for blow in tried} == set(undisturbed.num_steps)
    assert failing(tried, undisturbed) == []


@pytest.mark.parametrize(
    ("machine", "travel"),
    [
        ("chu-lyon", Travel(updates=Encoding(kind=Kind.TOP_K, share=0.3))),
        ("ghu-paris", Travel(updates=Encoding(kind=Kind.INT8), models=Kind.BF16)),
        ("orchestrator", Travel(updates=Encoding(kind=Kind.INT8), models=Kind.BF16)),
    ],
)
def test_a_crash_loses_and_doubles_nothing_of_what_travels_encoded(
    machine: str, travel: Travel
) -> None:
    """Where what stays unsent is written, and the model as it travels."""
    silence()
    undisturbed = strike(None, travel)
    tried = [one for one in blows(undisturbed) if one.target.machine == machine][::SHARE_ENCODED]
    after = [strike(blow, travel) for blow in tried]
    assert [one.blow for one in after if one.why or not one.was_struck] == []
    assert {one.digests for one in after} == {undisturbed.digests}


def test_a_sync_that_does_nothing_is_found(
    undisturbed: Aftermath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep can fail: on a disk that only says yes, crashes cost models."""

    def say_yes(disk: SimulatedDisk, _name: str = "") -> None:
        disk._step("sync")
        disk._step("synced")

    monkeypatch.setattr(SimulatedDisk, "sync", say_yes)
    monkeypatch.setattr(SimulatedDisk, "sync_names", say_yes)
    target = Target(machine="orchestrator", number=LATE_STEP, moment=Moment.AFTER)
    (after,) = failing([Blow(target=target, kept=0.0)], undisturbed)
    assert after.was_struck
    assert after.digests == ()


def test_every_step_is_struck_from_both_sides(undisturbed: Aftermath) -> None:
    """Lost and torn: four runs for each."""
    places = list(blows(undisturbed))
    assert len(places) == len(set(places)) == 4 * sum(undisturbed.num_steps.values())
    assert not undisturbed.was_struck
    assert len(undisturbed.digests) == 3


def test_an_aim_hits_one_machine_once() -> None:
    """At its own step, on the side that was chosen."""
    aim = Aim(Target(machine="a", number=2, moment=Moment.AFTER))
    words = ["write", "sync", "synced", "commit", "committed", "committed"]
    assert [aim.hits("b", word) for word in words] == [False] * 6
    assert [aim.hits("a", word) for word in words] == [False] * 4 + [True, False]
    assert aim.num_steps == {"a": 2, "b": 2}
