"""Whole federations with faults from a seed: the model is what arithmetic by hand makes of it."""

from dataclasses import replace
from datetime import UTC
from random import Random

import pytest
import structlog

from fedmq.encodings.kinds import Encoding, Kind
from fedmq.node.hours import parse_hours
from fedmq.simulation.approval import RELAXED
from fedmq.simulation.checks import run_seed
from fedmq.simulation.encodings_by_hand import Travel
from fedmq.simulation.faults import NO_FAULTS, Fault, Misfortune
from fedmq.simulation.training import average, initial_model, models_by_hand

SHARDS = 7
SEEDS_OF_SHARD = 25
"""`./run bench simulation` runs as many as one likes."""


@pytest.fixture(autouse=True)
def silence() -> None:
    """Services log what happens to them; here that is a great deal."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


@pytest.mark.parametrize("shard", range(SHARDS))
def test_nothing_is_lost_counted_twice_run_late_or_other_than_by_hand(shard: int) -> None:
    """Whatever is killed, cut, repeated, damaged, filled or wiped; a failing seed is named."""
    first = 1_000 + shard * SEEDS_OF_SHARD
    unsound = [
        found
        for seed in range(first, first + SEEDS_OF_SHARD)
        if not (found := run_seed(seed)).is_sound
    ]
    assert unsound == []


@pytest.mark.parametrize("shard", range(4))
def test_nodes_with_hours_answer_by_themselves_whoever_was_killed_meanwhile(shard: int) -> None:
    """Day and night shifts, and few rounds a day: every round comes, and is right to the bit."""
    shifts = (
        RELAXED,
        replace(RELAXED, zone=UTC, hours=parse_hours(["mon-sun 08:00-20:00"])),
        replace(RELAXED, zone=UTC, hours=parse_hours(["mon-sun 20:00-08:00"])),
        replace(RELAXED, zone=UTC, max_rounds_per_day=1),
    )
    first = 7_000 + shard * 10
    found = [run_seed(seed, policies=shifts[shard:] + shifts) for seed in range(first, first + 6)]
    assert [one for one in found if not one.is_sound] == []
    assert max(one.seconds for one in found) > 8 * 3_600.0, "nobody had to wait for an hour"


@pytest.mark.parametrize("seed", [512_851, 516_036])
def test_who_asks_late_for_an_earlier_model_is_not_turned_away(seed: int) -> None:
    """A crash of the orchestrator left its file behind."""
    assert run_seed(seed).is_sound


@pytest.mark.parametrize("seed", range(3))
def test_an_undisturbed_run_has_one_life_for_each_program(seed: int) -> None:
    """And nothing goes wrong in it."""
    found = run_seed(seed, faults=NO_FAULTS)
    assert found.is_sound
    assert found.mishaps == {}


@pytest.mark.parametrize("shard", range(3))
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.EXACT])
def test_what_travels_encoded_makes_the_models_that_are_made_by_hand(
    kind: Kind, shard: int
) -> None:
    """Whoever is killed, late or asked again: what stays unsent follows from who is in which."""
    encoding = Encoding(kind=kind, share=0.3 if kind is Kind.TOP_K else 1.0)
    first = 20_000 + shard * 10
    models = kind if kind in {Kind.BF16, Kind.FP16} else Kind.EXACT
    travel = Travel(updates=encoding, models=models)
    found = [run_seed(seed, travel=travel) for seed in range(first, first + 10)]
    assert [one for one in found if not one.is_sound] == []


def test_a_seed_gives_the_same_run_each_time() -> None:
    """To the last mishap, life and virtual second: else no failure could be looked into."""
    assert run_seed(11) == run_seed(11)


def test_every_kind_of_mishap_happens() -> None:
    """Over a few seeds; else the runs above would prove little."""
    seen: set[Fault] = set()
    for seed in range(30):
        seen |= run_seed(seed).mishaps.keys()
        if seen == set(Fault):
            return
    raise AssertionError(set(Fault) - seen)


def test_another_participant_is_another_model() -> None:
    """The oracle can fail: who took part decides every bit."""
    both, one = models_by_hand(5, [["a", "b"]]), models_by_hand(5, [["a"]])
    assert both[0] == one[0]
    assert both[1] != one[1]
    assert set(average(initial_model(5), 1, ["a"])) == {"bias", "half", "weight"}


def test_after_so_many_mishaps_nothing_goes_wrong() -> None:
    """So that every run has an end."""
    misfortune = Misfortune({Fault.CUT: 1.0}, Random(0), limit=3)
    assert [misfortune.happens(Fault.CUT) for _ in range(5)] == [True, True, True, False, False]
    assert misfortune.counts == {Fault.CUT: 3}
